/** What waits on one connection before it is slowed down or refused. */
export const mostWaiting = 1_000;

/** The requests of all connections that wait for their turn or are being obeyed. */
export interface WaitingRequests {
  count: number;
}

/** The requests of one connection, obeyed one after the other in the order in which they arrive. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  readonly #all: WaitingRequests;

  constructor(all: WaitingRequests) {
    this.#all = all;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** `task` answers its own failures; resolves when it is done. */
  take(task: () => Promise<void>): Promise<void> {
    this.#waiting += 1;
    this.#all.count += 1;
    const done = this.#last.then(task).finally(() => {
      this.#waiting -= 1;
      this.#all.count -= 1;
    });
    this.#last = done;
    return done;
  }
}
