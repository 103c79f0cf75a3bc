/** What waits on one connection before it is slowed down or refused. */
export const mostWaiting = 1_000;

/** The requests of one connection, obeyed one after the other in the order in which they arrive. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  get waiting(): number {
    return this.#waiting;
  }

  /** `task` answers its own failures; resolves when it is done. */
  take(task: () => Promise<void>): Promise<void> {
    this.#waiting += 1;
    const done = this.#last.then(task).finally(() => {
      this.#waiting -= 1;
    });
    this.#last = done;
    return done;
  }
}
