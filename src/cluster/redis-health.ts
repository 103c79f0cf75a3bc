import { Heartbeat } from './heartbeat.ts';
import { ErrorReply, type RedisConnection, type RedisKind, readRole } from './redis-connection.ts';

/**
 * The error for a connection that leads to a replica. Publishing on a replica succeeds, but the message reaches only the
 * subscribers of that replica.
 */
export class ReplicaError extends Error {
  constructor() {
    super('Redis is a replica: published messages do not reach the other nodes; reconnecting');
    this.name = 'ReplicaError';
  }
}

export interface HealthEvents {
  /** Called when the link starts to work, for the first time or again. Messages may have been missed before. */
  onUp(): void;
  /**
   * Called after every failure, even if the link is down already, because the cause may have changed. If `channel` is
   * given, the failure was a subscription to this channel.
   */
  onDown(reason: unknown, channel?: string): void;
  /** Called if a published message did not reach Redis, or reached only a replica. */
  onLost(error: unknown): void;
}

interface HealthOptions {
  kind: RedisKind;
  beatChannel: string;
  events: HealthEvents;
  getConnection(): RedisConnection;
  hasFailingSubscriptions(): boolean;
  /** Replaces the connections, and subscribes to every channel again. */
  reconnect(): void;
}

/** While the address leads to a replica, the delay between reconnects starts at `min` and doubles up to `max`. */
const replicaBackoffMs = { min: 1_000, max: 15_000 };

/**
 * Tracks the state of the link to Redis. The link is up if a beat has returned, the server is a master, and no
 * subscription is failing.
 */
export class RedisHealth {
  readonly #options: HealthOptions;
  readonly #heartbeat: Heartbeat;
  #isUp = false;
  #hasReceivedBeat = false;
  /** Whether the server is a replica. Undefined until the server of the current connection has answered. */
  #isReplica: boolean | undefined;
  #backoffMs = replicaBackoffMs.min;
  #nextReconnectAt = 0;
  #hasEnded = false;

  constructor(options: HealthOptions) {
    this.#options = options;
    this.#heartbeat = new Heartbeat({
      sendBeat: () => this.sendBeat(),
      onSilent: () => this.#reconnect(new Error('Redis does not answer')),
    });
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Whether a beat has arrived since the last failure. */
  get hasReceivedBeat(): boolean {
    return this.#hasReceivedBeat;
  }

  sendBeat(): void {
    if (this.#hasEnded) return;
    void this.#checkRole();
    // A failed connection is reported by its `error` event. An error reply from Redis causes no such event, so it is
    // reported here.
    const { getConnection, beatChannel } = this.#options;
    getConnection()
      .publish(beatChannel, '')
      .catch((error: unknown) => {
        if (error instanceof ErrorReply) this.reportDown(error);
      });
  }

  handleBeat(): void {
    this.#heartbeat.handleBeat();
    this.#hasReceivedBeat = true;
    this.goUpIfReady();
  }

  /** Detects a replica by the error `READONLY`. Needed because some servers do not report their role. */
  handleWriteFailure(error: unknown): void {
    if (error instanceof ErrorReply && error.message.startsWith('READONLY')) this.#leaveReplica();
  }

  goUpIfReady(): void {
    if (this.#isUp || this.#hasEnded) return;
    if (!this.#hasReceivedBeat || this.#isReplica !== false || this.#options.hasFailingSubscriptions()) return;
    this.#isUp = true;
    this.#options.events.onUp();
  }

  /**
   * Call this when the connection has failed. The link is up again after a beat has returned on a new connection and the
   * role of the server has been checked.
   */
  goDown(reason: unknown): void {
    this.#hasReceivedBeat = false;
    this.#isReplica = undefined;
    this.reportDown(reason);
  }

  reportDown(reason: unknown, channel?: string): void {
    if (this.#hasEnded) return;
    this.#isUp = false;
    this.#options.events.onDown(reason, channel);
  }

  stop(): void {
    this.#hasEnded = true;
    this.#heartbeat.stop();
  }

  #reconnect(reason: Error): void {
    this.goDown(reason);
    this.#options.reconnect();
  }

  /**
   * Checks whether the server is a master. Called with every beat: after a failover, the connection may still lead to
   * the former master, which is now a replica and still answers.
   */
  async #checkRole(): Promise<void> {
    const { getConnection, kind } = this.#options;
    const connection = getConnection();
    let role: string | undefined;
    try {
      role = await readRole(connection, kind);
    } catch (error) {
      if (!(error instanceof ErrorReply) || connection !== getConnection()) return;
      // Some proxies do not support the command `HELLO`. In that case, the server counts as a master until it refuses a
      // write.
      this.#isReplica ??= false;
      return this.goUpIfReady();
    }
    if (connection !== getConnection() || this.#hasEnded) return;
    if (role === 'replica' || role === 'slave') return this.#leaveReplica();
    if (role !== undefined) this.#backoffMs = replicaBackoffMs.min;
    this.#isReplica = false;
    this.goUpIfReady();
  }

  /**
   * Reconnects, because the host name may resolve to the new master by now. Within the backoff after the previous
   * reconnect, it only reports the failure and keeps the connection.
   */
  #leaveReplica(): void {
    if (this.#hasEnded) return;
    if (!this.#isReplica) this.#options.events.onLost(new ReplicaError());
    this.#isReplica = true;
    const now = performance.now();
    if (now < this.#nextReconnectAt) return this.reportDown(new ReplicaError());
    this.#nextReconnectAt = now + this.#backoffMs;
    this.#backoffMs = Math.min(replicaBackoffMs.max, 2 * this.#backoffMs);
    this.#reconnect(new ReplicaError());
  }
}
