import type { WebSocket } from 'ws';

const maxTickMs = 100;
const minTicksPerInterval = 10;

/** The methods of a connection that are used here. */
export type Pingable = Pick<WebSocket, 'ping' | 'terminate' | 'readyState' | 'OPEN'>;

/**
 * Pings each connection once per interval. The first interval begins with the connection. If a connection has not
 * answered its previous ping, it is half open and is terminated. Connections that begin together are spread over half
 * an interval, because thousands of pings in one tick would block the event loop for a noticeable time.
 */
export class Pings {
  readonly #intervalMs: number;
  readonly #ticksPerInterval: number;
  /**
   * When each connection is pinged next, in whole ms, which need less memory. In this order, because a connection that was
   * pinged moves to the end.
   */
  readonly #dueAt = new Map<Pingable, number>();
  readonly #awaitingPong = new WeakSet<Pingable>();
  readonly #timer: NodeJS.Timeout;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
    this.#ticksPerInterval = Math.max(minTicksPerInterval, intervalMs / maxTickMs);
    this.#timer = setInterval(() => this.#pingDue(), intervalMs / this.#ticksPerInterval).unref();
  }

  add(connection: Pingable): void {
    this.#dueAt.set(connection, Math.round(performance.now() + this.#intervalMs));
  }

  remove(connection: Pingable): void {
    this.#dueAt.delete(connection);
  }

  receivePong(connection: Pingable): void {
    this.#awaitingPong.delete(connection);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #pingDue(): void {
    const now = Math.round(performance.now());
    let remaining = Math.ceil((2 * this.#dueAt.size) / this.#ticksPerInterval);
    for (const [connection, dueAt] of this.#dueAt) {
      if (dueAt > now || remaining-- === 0) return;
      this.#dueAt.delete(connection);
      this.#dueAt.set(connection, now + this.#intervalMs);
      if (this.#awaitingPong.has(connection)) connection.terminate();
      this.#awaitingPong.add(connection);
      if (connection.readyState === connection.OPEN) connection.ping();
    }
  }
}
