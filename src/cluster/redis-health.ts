import { ErrorReply, type RedisConnection, type RedisKind, readRole } from './redis-connection.ts';

/**
 * `silenceMs` is long enough that a busy event loop is not taken for a dead connection, and short enough that a dead
 * connection is replaced within seconds.
 */
const defaultTimeouts = { beatMs: 1_000, silenceMs: 5_000 };

interface HeartbeatEvents {
  /** Publishes a beat on a channel to which this node itself subscribes. */
  sendBeat: () => void;
  /** No beat arrived for `silenceMs`. Called again after each further `silenceMs` without a beat. */
  onSilent: () => void;
}

/** Notices that published messages do not arrive, even if the connection seems to work. */
export class Heartbeat {
  readonly #timer: NodeJS.Timeout;
  #lastReceivedAt = performance.now();
  #lastTickAt = performance.now();

  constructor({ sendBeat, onSilent }: HeartbeatEvents, { beatMs, silenceMs } = defaultTimeouts) {
    this.#timer = setInterval(() => {
      const now = performance.now();
      // After the event loop was blocked, silence proves nothing: beats that arrived in the meantime have not been read
      // yet.
      const wasLate = now - this.#lastTickAt > 2 * beatMs;
      this.#lastTickAt = now;
      if (!wasLate && now - this.#lastReceivedAt > silenceMs) {
        this.#lastReceivedAt = now;
        onSilent();
      }
      sendBeat();
    }, beatMs).unref();
  }

  handleBeat(): void {
    this.#lastReceivedAt = performance.now();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/**
 * The server is a replica. Publishing on a replica succeeds, but the message reaches only the subscribers of that
 * replica.
 */
export class ReplicaError extends Error {
  constructor() {
    super('Redis is a replica: published messages do not reach the other nodes; reconnecting');
    this.name = 'ReplicaError';
  }
}

export interface HealthEvents {
  /** The link works, for the first time or again. Messages that were published before this were missed. */
  onUp(): void;
  /**
   * Called at every failure while the link is down, because the cause may change. If `channel` is given, Redis refused
   * to subscribe to it.
   */
  onDown(reason: unknown, channel?: string): void;
  /** A published message did not reach Redis, or only a replica. */
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

/** The delay between reconnects while the address leads to a replica. It doubles each time. */
const replicaBackoffMs = { min: 1_000, max: 15_000 };

/**
 * The state of the link to Redis. The link is up if a beat has returned, the server is a master, and no subscription is
 * failing.
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
    // A connection that fails reports the failure itself. If Redis answers with an error, only this code reports it.
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

  /** Some replicas do not report their role. The error `READONLY` shows that the server is one. */
  handleWriteFailure(error: unknown): void {
    if (error instanceof ErrorReply && error.message.startsWith('READONLY')) this.#leaveReplica();
  }

  goUpIfReady(): void {
    if (this.#isUp || this.#hasEnded) return;
    if (!this.#hasReceivedBeat || this.#isReplica !== false || this.#options.hasFailingSubscriptions()) return;
    this.#isUp = true;
    this.#options.events.onUp();
  }

  /** The connection failed. The link is up again after the next beat has returned and the role has been checked. */
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
   * Called with every beat, because after a failover the connection may still lead to the former master, which still
   * answers.
   */
  async #checkRole(): Promise<void> {
    const { getConnection, kind } = this.#options;
    const connection = getConnection();
    let role: string | undefined;
    try {
      role = await readRole(connection, kind);
    } catch (error) {
      if (!(error instanceof ErrorReply) || connection !== getConnection()) return;
      // A proxy may not know the command `HELLO`. Then the server counts as a master until it refuses a write.
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
   * Reconnects, because the host name may now resolve to the new master. During the backoff, the connection to the
   * replica is kept.
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
