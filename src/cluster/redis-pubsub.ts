import { EventEmitter } from 'node:events';
import { BoundedPublisher } from './bounded-publisher.ts';
import { OwnMark } from './echo-filter.ts';
import { Heartbeat } from './heartbeat.ts';
import { ErrorReply, type RedisConnection, type RedisKind, redisConnection, roleOf } from './redis-connection.ts';
import { Subscriptions } from './subscriptions.ts';

type Heard = (message: Buffer, channel: Buffer) => void;
type Subscribe = (redis: RedisConnection, channel: string) => Promise<unknown>;

export interface LineEvents {
  /** The line works, again: what was published meanwhile was not heard. */
  up(): void;
  /** Called at every failure while it is down, too: the cause may change. `channel`: the one that Redis refuses. */
  down(reason: unknown, channel?: string): void;
  /** One of a Cluster's connections is new: what came over the one before may have been missed, though the line was up. */
  missed(): void;
  /** From now on this channel is heard. */
  subscribed(channel: string): void;
  /** Something published here did not get to Redis, or to a replica only. */
  lost(error: unknown): void;
  /** What is published gets there again. */
  published(): void;
  /** What was heard was not what the adapter understands. */
  rejected(error: unknown): void;
}

const patienceAtTheEndMs = 500;
/** While the address leads to a replica: the first pause before it is connected to anew, which doubles up to the last. */
const replicaPauseMs = { first: 1_000, max: 15_000 };

/** Publishing on a replica succeeds and reaches nobody but its own subscribers. */
export class ReplicaError extends Error {
  constructor() {
    super('Redis is a replica: what is published here does not reach the other nodes; connecting anew');
    this.name = 'ReplicaError';
  }
}

/**
 * One node's line to Redis, with the methods that the Socket.IO adapters want of their clients. None of these ever
 * fails or keeps anything for a Redis that is away: the line comes back by itself, with all its subscriptions.
 */
export class RedisLine extends EventEmitter {
  readonly #kind: RedisKind;
  readonly #beatChannel: string;
  readonly #events: LineEvents;
  readonly #publisher: BoundedPublisher;
  readonly #subscriptions: Subscriptions;
  readonly #heartbeat: Heartbeat;
  readonly #ownMark = new OwnMark();
  #publishing: RedisConnection;
  #hearing: RedisConnection;
  #isUp = false;
  /** A beat has come back since the last failure. */
  #isHeard = false;
  /** Undefined until the server of the connection in use has answered. */
  #isReplica: boolean | undefined;
  #replicaPauseMs = replicaPauseMs.first;
  #mayReplaceAt = 0;
  #hasEnded = false;

  constructor(kind: RedisKind, beatChannel: string, events: LineEvents) {
    super();
    this.#kind = kind;
    this.#beatChannel = beatChannel;
    this.#events = events;
    this.#publishing = this.#open();
    this.#hearing = this.#open();
    this.#publisher = new BoundedPublisher(() => this.#publishing, { lost: events.lost, recovered: events.published });
    this.#subscriptions = new Subscriptions({
      subscribed: (channel) => {
        if (channel === beatChannel) this.#beat();
        else events.subscribed(channel);
      },
      failed: (error, channel) => {
        // Without a connection everything fails, and the connection says why.
        if (this.#isHeard || error instanceof ErrorReply) this.#report(error, channel);
      },
      recovered: () => this.#settle(),
    });
    this.#heartbeat = new Heartbeat({
      beat: () => this.#beat(),
      silent: () => this.#replace(new Error('Redis does not answer')),
    });
    void this.subscribe(beatChannel, () => this.#hearBeat());
  }

  /**
   * Whether what this node publishes comes back to it over a master, and every channel that it wants is subscribed to,
   * as far as is known.
   */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** What is on its way to Redis. */
  get publishing(): { messages: number; bytes: number } {
    return this.#publisher.load;
  }

  /** For other commands than those below. They may fail, and wait; report what a write fails with to `writeFailed`. */
  get connection(): RedisConnection {
    return this.#publishing;
  }

  /** `READONLY` tells of a replica also if it does not say what it is. */
  writeFailed(error: unknown): void {
    if (error instanceof ErrorReply && error.message.startsWith('READONLY')) this.#leaveReplica();
  }

  publish(channel: string, message: string | Buffer): Promise<number> {
    this.#ownMark.learn(message);
    return this.#publisher.publish(message.length, (redis) => redis.publish(channel, message));
  }

  sPublish(channel: string, message: string | Buffer): Promise<number> {
    this.#ownMark.learn(message);
    return this.#publisher.publish(message.length, (redis) => redis.sPublish(channel, message));
  }

  async subscribe(channels: string | string[], heard: Heard): Promise<void> {
    for (const channel of [channels].flat()) {
      this.#want(
        channel,
        (redis) => redis.subscribe(channel, this.#safely(heard), true),
        (redis) => redis.unsubscribe(channel),
      );
    }
  }

  async pSubscribe(pattern: string, heard: Heard): Promise<void> {
    this.#want(
      pattern,
      (redis) => redis.pSubscribe(pattern, this.#safely(heard), true),
      (redis) => redis.pUnsubscribe(pattern),
    );
  }

  async sSubscribe(channel: string, heard: Heard): Promise<void> {
    this.#want(
      channel,
      (redis) => redis.sSubscribe(channel, this.#safely(heard), true),
      (redis) => redis.sUnsubscribe(channel),
    );
  }

  async unsubscribe(channel: string): Promise<void> {
    this.#subscriptions.unwant(channel);
  }

  async pUnsubscribe(pattern: string): Promise<void> {
    this.#subscriptions.unwant(pattern);
  }

  async sUnsubscribe(channel: string): Promise<void> {
    this.#subscriptions.unwant(channel);
  }

  /** What is on its way goes out first, unless Redis does not take it. */
  async close(): Promise<void> {
    this.#hasEnded = true;
    this.#heartbeat.stop();
    this.#subscriptions.end();
    const connections = [this.#publishing, this.#hearing];
    await Promise.race([Promise.allSettled([this.#publishing.close()]), pause(patienceAtTheEndMs)]);
    for (const connection of connections) end(connection);
  }

  /** A listener that throws takes what else has arrived at the connection with it. */
  #safely(heard: Heard): Heard {
    return (message, channel) => {
      if (this.#ownMark.isOn(message)) return;
      try {
        heard(message, channel);
      } catch (error) {
        this.#events.rejected(error);
      }
    };
  }

  #want(channel: string, subscribe: Subscribe, unsubscribe: Subscribe): void {
    this.#subscriptions.want(channel, {
      subscribe: () => subscribe(this.#hearing, channel),
      unsubscribe: () => unsubscribe(this.#hearing, channel),
    });
  }

  #open(): RedisConnection {
    const connection = redisConnection(this.#kind);
    const isCurrent = () => connection === this.#publishing || connection === this.#hearing;
    connection.on('error', (error: unknown) => {
      if (isCurrent()) this.#goDown(error);
    });
    connection.on('ready', () => this.#beat());
    connection.on('node-ready', () => {
      this.#beat();
      if (this.#isUp && isCurrent()) this.#events.missed();
    });
    // One server's goes on trying by itself, and its failures are heard above; a Cluster's is replaced after a while.
    connection.connect().catch((error: unknown) => {
      if (isCurrent()) this.#goDown(error);
    });
    return connection;
  }

  /** A connection can be dead and look alive: another one, and all that was subscribed once more. */
  #replace(reason: Error): void {
    this.#goDown(reason);
    const old = [this.#publishing, this.#hearing];
    this.#publishing = this.#open();
    this.#hearing = this.#open();
    for (const connection of old) end(connection);
    this.#subscriptions.beginAnew();
  }

  #beat(): void {
    if (this.#hasEnded) return;
    void this.#askRole();
    // Whether it arrives is what is asked. Why a connection takes nothing it says itself; why Redis refuses, it does not.
    this.#publishing.publish(this.#beatChannel, '').catch((error: unknown) => {
      if (error instanceof ErrorReply) this.#report(error);
    });
  }

  /** A failover may leave this connection with the former master, which goes on answering. */
  async #askRole(): Promise<void> {
    const asked = this.#publishing;
    let role: string | undefined;
    try {
      role = await roleOf(asked, this.#kind);
    } catch (error) {
      if (!(error instanceof ErrorReply) || asked !== this.#publishing) return;
      // A proxy that does not know the command: then a refused write tells.
      this.#isReplica ??= false;
      return this.#settle();
    }
    if (asked !== this.#publishing || this.#hasEnded) return;
    if (role === 'replica' || role === 'slave') return this.#leaveReplica();
    if (role !== undefined) this.#replicaPauseMs = replicaPauseMs.first;
    this.#isReplica = false;
    this.#settle();
  }

  /** The name in the address may lead to the new master by now. If it does not yet, the replica is better than nothing. */
  #leaveReplica(): void {
    if (this.#hasEnded) return;
    if (!this.#isReplica) this.#events.lost(new ReplicaError());
    this.#isReplica = true;
    const now = performance.now();
    if (now < this.#mayReplaceAt) return this.#report(new ReplicaError());
    this.#mayReplaceAt = now + this.#replicaPauseMs;
    this.#replicaPauseMs = Math.min(replicaPauseMs.max, 2 * this.#replicaPauseMs);
    this.#replace(new ReplicaError());
  }

  #hearBeat(): void {
    this.#heartbeat.hear();
    this.#isHeard = true;
    this.#settle();
  }

  #settle(): void {
    if (this.#isUp || this.#hasEnded) return;
    if (!this.#isHeard || this.#isReplica !== false || this.#subscriptions.isFailing) return;
    this.#isUp = true;
    this.#events.up();
  }

  #goDown(reason: unknown): void {
    this.#isHeard = false;
    this.#isReplica = undefined;
    this.#report(reason);
  }

  #report(reason: unknown, channel?: string): void {
    if (this.#hasEnded) return;
    this.#isUp = false;
    this.#events.down(reason, channel);
  }
}

function end(connection: RedisConnection): void {
  const destroy = () => {
    try {
      connection.destroy();
    } catch {
      // It had ended already.
    }
  };
  // One that is just being made is not destroyed: the client knows its socket only once it is there.
  connection.on('connect', destroy);
  destroy();
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms).unref());
