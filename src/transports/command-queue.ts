/** Limits of the queue of one connection; beyond them the client is slowed down or refused. */
export const maxQueued = 1_000;
export const maxQueuedBytes = 1_048_576;
/** Limit of all queues of the node; beyond it requests are refused. */
export const maxQueuedBytesPerNode = 64 * 1_048_576;
/** Memory of a request beside its text: promises, closures, and the parsed object. */
export const requestOverheadBytes = 512;

/** The requests of all connections that are queued or being handled. */
export interface QueuedRequests {
  count: number;
  bytes: number;
}

/** The requests of one connection, handled one after the other in the order in which they arrive. */
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

  /** The queue of this connection has reached its limit. */
  get isFull(): boolean {
    return this.#size >= maxQueued || this.#bytes >= maxQueuedBytes;
  }

  /** The queues of all connections of the node have reached their common limit. */
  get isNodeFull(): boolean {
    return this.#nodeTotal.bytes >= maxQueuedBytesPerNode;
  }

  /** `task` holds `bytes` of memory and must not reject. Resolves when it is done. */
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
