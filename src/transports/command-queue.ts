/** What waits on one connection before it is slowed down or refused. */
export const maxQueued = 1_000;
export const maxQueuedBytes = 1_048_576;
/** What waits on all connections of the node before requests are refused. */
export const maxQueuedBytesPerNode = 64 * 1_048_576;
/** What a request weighs beside its text: promises, closures, and the parsed object. */
export const requestOverheadBytes = 512;

/** The requests of all connections that wait for their turn or are being obeyed. */
export interface QueuedRequests {
  count: number;
  bytes: number;
}

/** The requests of one connection, obeyed one after the other in the order in which they arrive. */
export class CommandQueue {
  #last: Promise<unknown> = Promise.resolve();
  #size = 0;
  #bytes = 0;
  readonly #nodeTotal: QueuedRequests;

  constructor(nodeTotal: QueuedRequests) {
    this.#nodeTotal = nodeTotal;
  }

  get size(): number {
    return this.#size;
  }

  /** The connection has as many requests waiting as it may have. */
  get isFull(): boolean {
    return this.#size >= maxQueued || this.#bytes >= maxQueuedBytes;
  }

  /** All connections of the node together have. */
  get isNodeFull(): boolean {
    return this.#nodeTotal.bytes >= maxQueuedBytesPerNode;
  }

  /** `task` holds so many bytes, and answers its own failures; resolves when it is done. */
  enqueue(bytes: number, task: () => Promise<void>): Promise<void> {
    const weight = bytes + requestOverheadBytes;
    this.#count(1, weight);
    const done = this.#last.then(task).finally(() => this.#count(-1, -weight));
    this.#last = done;
    return done;
  }

  #count(requests: number, bytes: number): void {
    this.#size += requests;
    this.#bytes += bytes;
    this.#nodeTotal.count += requests;
    this.#nodeTotal.bytes += bytes;
  }
}
