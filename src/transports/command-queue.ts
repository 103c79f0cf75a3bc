/**
 * The limits of the queue of one connection. At a limit, `/chat` stops reading from the connection, and Socket.IO
 * rejects further requests.
 */
export const maxQueued = 1_000;
export const maxQueuedBytes = 1_048_576;
/** The limit of all queues of the node together. At the limit, further requests are rejected. */
export const maxQueuedBytesPerNode = 64 * 1_048_576;
/** The memory that a request needs besides its text: promises, closures, and the parsed object. */
export const requestOverheadBytes = 512;

/** Counts the requests of all connections that are queued or being handled. */
export interface QueuedRequests {
  count: number;
  bytes: number;
}

/** The predecessor of the first request of a queue. All queues share it, because most of them are empty. */
const nothing: Promise<unknown> = Promise.resolve();

/** The requests of one connection, handled one after the other in the order in which they arrive. */
export class CommandQueue {
  #last = nothing;
  #size = 0;
  #bytes = 0;
  readonly #nodeTotal: QueuedRequests;

  constructor(nodeTotal: QueuedRequests) {
    this.#nodeTotal = nodeTotal;
  }

  get size(): number {
    return this.#size;
  }

  get isFull(): boolean {
    return this.#size >= maxQueued || this.#bytes >= maxQueuedBytes;
  }

  /** True if the queues of all connections of the node together have reached their limit. */
  get isNodeFull(): boolean {
    return this.#nodeTotal.bytes >= maxQueuedBytesPerNode;
  }

  /** Resolves when the task is done. `bytes` is the memory that the task holds while it waits. The task must not reject. */
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
    if (this.#size === 0) this.#last = nothing;
    this.#nodeTotal.count += requests;
    this.#nodeTotal.bytes += bytes;
  }
}
