import { ErrorReply, type RedisConnection, type RedisKind, readRole } from './redis-connection.ts';

/** A busy event loop delays a beat by less than `silenceMs`, and a dead connection is replaced within seconds. */
const defaultTimeouts = { beatMs: 1_000, silenceMs: 5_000 };

interface HeartbeatEvents {
  /** Publishes a beat that this node itself subscribes to. */
  sendBeat: () => void;
  /** No beat arrived for `silenceMs`. Called again after each further `silenceMs` without a beat. */
  onSilent: () => void;
}

/** Notices that published messages do not arrive, even if the connection looks alive. */
export class Heartbeat {
  readonly #timer: NodeJS.Timeout;
  #lastReceivedAt = performance.now();
  #lastTickAt = performance.now();

  constructor({ sendBeat, onSilent }: HeartbeatEvents, { beatMs, silenceMs } = defaultTimeouts) {
    this.#timer = setInterval(() => {
      const now = performance.now();
      // After a blocked event loop nothing is certain: beats that arrived meanwhile have not been read yet.
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

/** Publishing on a replica succeeds, but reaches only the subscribers of that replica. */
export class ReplicaError extends Error {
  constructor() {
    super('Redis is a replica: published messages do not reach the other nodes; reconnecting');
    this.name = 'ReplicaError';
  }
}

export interface HealthEvents {
  /** The link works, for the first time or again: messages that were published before were missed. */
  onUp(): void;
  /** Called at every failure while the link is down, because the cause may change. `channel`: Redis refuses it. */
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

/** The backoff between reconnects while the address leads to a replica; it doubles each time. */
const replicaBackoffMs = { min: 1_000, max: 15_000 };

/**
 * The state of a link to Redis. It is up if a beat made the round trip, the server is a master, and no subscription is
 * failing.
 */
export class RedisHealth {
  readonly #options: HealthOptions;
  readonly #heartbeat: Heartbeat;
  #isUp = false;
  #hasReceivedBeat = false;
  /** Undefined until the server of the current connection has answered. */
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
    // A connection reports its own failures; a refusal by Redis is reported only here.
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

  /** `READONLY` reveals a replica that does not report its role. */
  handleWriteFailure(error: unknown): void {
    if (error instanceof ErrorReply && error.message.startsWith('READONLY')) this.#leaveReplica();
  }

  goUpIfReady(): void {
    if (this.#isUp || this.#hasEnded) return;
    if (!this.#hasReceivedBeat || this.#isReplica !== false || this.#options.hasFailingSubscriptions()) return;
    this.#isUp = true;
    this.#options.events.onUp();
  }

  /** The connection failed: the next beat and the role decide again. */
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

  /** After a failover the connection may still lead to the former master, which goes on answering. */
  async #checkRole(): Promise<void> {
    const { getConnection, kind } = this.#options;
    const connection = getConnection();
    let role: string | undefined;
    try {
      role = await readRole(connection, kind);
    } catch (error) {
      if (!(error instanceof ErrorReply) || connection !== getConnection()) return;
      // A proxy may not know the command. A refused write then reveals the replica.
      this.#isReplica ??= false;
      return this.goUpIfReady();
    }
    if (connection !== getConnection() || this.#hasEnded) return;
    if (role === 'replica' || role === 'slave') return this.#leaveReplica();
    if (role !== undefined) this.#backoffMs = replicaBackoffMs.min;
    this.#isReplica = false;
    this.goUpIfReady();
  }

  /** The host name may resolve to the new master by now. During the backoff the connection to the replica is kept. */
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
