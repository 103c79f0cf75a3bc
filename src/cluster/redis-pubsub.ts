import { EventEmitter } from 'node:events';
import { BoundedPublisher } from './bounded-publisher.ts';
import { EchoFilter } from './echo-filter.ts';
import { Heartbeat } from './heartbeat.ts';
import {
  createRedisConnection,
  ErrorReply,
  type RedisConnection,
  type RedisKind,
  readRole,
} from './redis-connection.ts';
import { Subscriptions } from './subscriptions.ts';

type ChannelListener = (message: Buffer, channel: Buffer) => void;
type Subscribe = (redis: RedisConnection, channel: string) => Promise<unknown>;

export interface PubSubEvents {
  /** The line works, again: what was published meanwhile was not heard. */
  onUp(): void;
  /** Called at every failure while it is down, too: the cause may change. `channel`: the one that Redis refuses. */
  onDown(reason: unknown, channel?: string): void;
  /** One of a Cluster's connections is new: what came over the one before may have been missed, though the line was up. */
  onMissed(): void;
  /** From now on this channel is heard. */
  onSubscribed(channel: string): void;
  /** Something published here did not get to Redis, or to a replica only. */
  onLost(error: unknown): void;
  /** What is published gets there again. */
  onPublished(): void;
  /** What was heard was not what the adapter understands. */
  onRejected(error: unknown): void;
}

const closeTimeoutMs = 500;
/** While the address leads to a replica: the first pause before it is connected to anew, which doubles up to the last. */
const replicaBackoffMs = { min: 1_000, max: 15_000 };

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
export class RedisPubSub extends EventEmitter {
  readonly #kind: RedisKind;
  readonly #beatChannel: string;
  readonly #events: PubSubEvents;
  readonly #publisher: BoundedPublisher;
  readonly #subscriptions: Subscriptions;
  readonly #heartbeat: Heartbeat;
  readonly #echoFilter = new EchoFilter();
  #publishConnection: RedisConnection;
  #subscribeConnection: RedisConnection;
  #isUp = false;
  /** A beat has come back since the last failure. */
  #hasReceivedBeat = false;
  /** Undefined until the server of the connection in use has answered. */
  #isReplica: boolean | undefined;
  #replicaBackoffMs = replicaBackoffMs.min;
  #nextReconnectAt = 0;
  #hasEnded = false;

  constructor(kind: RedisKind, beatChannel: string, events: PubSubEvents) {
    super();
    this.#kind = kind;
    this.#beatChannel = beatChannel;
    this.#events = events;
    this.#publishConnection = this.#open();
    this.#subscribeConnection = this.#open();
    this.#publisher = new BoundedPublisher(() => this.#publishConnection, {
      onLost: events.onLost,
      onRecovered: events.onPublished,
    });
    this.#subscriptions = new Subscriptions({
      onSubscribed: (channel) => {
        if (channel === beatChannel) this.#sendBeat();
        else events.onSubscribed(channel);
      },
      onFailed: (error, channel) => {
        // Without a connection everything fails, and the connection says why.
        if (this.#hasReceivedBeat || error instanceof ErrorReply) this.#reportDown(error, channel);
      },
      onRecovered: () => this.#goUpIfReady(),
    });
    this.#heartbeat = new Heartbeat({
      sendBeat: () => this.#sendBeat(),
      onSilent: () => this.#reconnect(new Error('Redis does not answer')),
    });
    void this.subscribe(beatChannel, () => this.#handleBeat());
  }

  /**
   * Whether what this node publishes comes back to it over a master, and every channel that it wants is subscribed to,
   * as far as is known.
   */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** What is on its way to Redis. */
  get pendingPublishes(): { messages: number; bytes: number } {
    return this.#publisher.pending;
  }

  /** For other commands than those below. They may fail, and wait; report what a write fails with to `writeFailed`. */
  get connection(): RedisConnection {
    return this.#publishConnection;
  }

  /** `READONLY` tells of a replica also if it does not say what it is. */
  handleWriteFailure(error: unknown): void {
    if (error instanceof ErrorReply && error.message.startsWith('READONLY')) this.#leaveReplica();
  }

  publish(channel: string, message: string | Buffer): Promise<number> {
    this.#echoFilter.recordPublished(message);
    return this.#publisher.publish(message.length, (redis) => redis.publish(channel, message));
  }

  sPublish(channel: string, message: string | Buffer): Promise<number> {
    this.#echoFilter.recordPublished(message);
    return this.#publisher.publish(message.length, (redis) => redis.sPublish(channel, message));
  }

  async subscribe(channels: string | string[], listener: ChannelListener): Promise<void> {
    for (const channel of [channels].flat()) {
      this.#addSubscription(
        channel,
        (redis) => redis.subscribe(channel, this.#guardListener(listener), true),
        (redis) => redis.unsubscribe(channel),
      );
    }
  }

  async pSubscribe(pattern: string, listener: ChannelListener): Promise<void> {
    this.#addSubscription(
      pattern,
      (redis) => redis.pSubscribe(pattern, this.#guardListener(listener), true),
      (redis) => redis.pUnsubscribe(pattern),
    );
  }

  async sSubscribe(channel: string, listener: ChannelListener): Promise<void> {
    this.#addSubscription(
      channel,
      (redis) => redis.sSubscribe(channel, this.#guardListener(listener), true),
      (redis) => redis.sUnsubscribe(channel),
    );
  }

  async unsubscribe(channel: string): Promise<void> {
    this.#subscriptions.remove(channel);
  }

  async pUnsubscribe(pattern: string): Promise<void> {
    this.#subscriptions.remove(pattern);
  }

  async sUnsubscribe(channel: string): Promise<void> {
    this.#subscriptions.remove(channel);
  }

  /** What is on its way goes out first, unless Redis does not take it. */
  async close(): Promise<void> {
    this.#hasEnded = true;
    this.#heartbeat.stop();
    this.#subscriptions.end();
    const connections = [this.#publishConnection, this.#subscribeConnection];
    await Promise.race([Promise.allSettled([this.#publishConnection.close()]), sleep(closeTimeoutMs)]);
    for (const connection of connections) destroyConnection(connection);
  }

  /** A listener that throws takes what else has arrived at the connection with it. */
  #guardListener(listener: ChannelListener): ChannelListener {
    return (message, channel) => {
      if (this.#echoFilter.isEcho(message)) return;
      try {
        listener(message, channel);
      } catch (error) {
        this.#events.onRejected(error);
      }
    };
  }

  #addSubscription(channel: string, subscribe: Subscribe, unsubscribe: Subscribe): void {
    this.#subscriptions.add(channel, {
      subscribe: () => subscribe(this.#subscribeConnection, channel),
      unsubscribe: () => unsubscribe(this.#subscribeConnection, channel),
    });
  }

  #open(): RedisConnection {
    const connection = createRedisConnection(this.#kind);
    const isCurrent = () => connection === this.#publishConnection || connection === this.#subscribeConnection;
    connection.on('error', (error: unknown) => {
      if (isCurrent()) this.#goDown(error);
    });
    connection.on('ready', () => this.#sendBeat());
    connection.on('node-ready', () => {
      this.#sendBeat();
      if (this.#isUp && isCurrent()) this.#events.onMissed();
    });
    // One server's goes on trying by itself, and its failures are heard above; a Cluster's is replaced after a while.
    connection.connect().catch((error: unknown) => {
      if (isCurrent()) this.#goDown(error);
    });
    return connection;
  }

  /** A connection can be dead and look alive: another one, and all that was subscribed once more. */
  #reconnect(reason: Error): void {
    this.#goDown(reason);
    const old = [this.#publishConnection, this.#subscribeConnection];
    this.#publishConnection = this.#open();
    this.#subscribeConnection = this.#open();
    for (const connection of old) destroyConnection(connection);
    this.#subscriptions.resubscribeAll();
  }

  #sendBeat(): void {
    if (this.#hasEnded) return;
    void this.#checkRole();
    // Whether it arrives is what is asked. Why a connection takes nothing it says itself; why Redis refuses, it does not.
    this.#publishConnection.publish(this.#beatChannel, '').catch((error: unknown) => {
      if (error instanceof ErrorReply) this.#reportDown(error);
    });
  }

  /** A failover may leave this connection with the former master, which goes on answering. */
  async #checkRole(): Promise<void> {
    const asked = this.#publishConnection;
    let role: string | undefined;
    try {
      role = await readRole(asked, this.#kind);
    } catch (error) {
      if (!(error instanceof ErrorReply) || asked !== this.#publishConnection) return;
      // A proxy that does not know the command: then a refused write tells.
      this.#isReplica ??= false;
      return this.#goUpIfReady();
    }
    if (asked !== this.#publishConnection || this.#hasEnded) return;
    if (role === 'replica' || role === 'slave') return this.#leaveReplica();
    if (role !== undefined) this.#replicaBackoffMs = replicaBackoffMs.min;
    this.#isReplica = false;
    this.#goUpIfReady();
  }

  /** The name in the address may lead to the new master by now. If it does not yet, the replica is better than nothing. */
  #leaveReplica(): void {
    if (this.#hasEnded) return;
    if (!this.#isReplica) this.#events.onLost(new ReplicaError());
    this.#isReplica = true;
    const now = performance.now();
    if (now < this.#nextReconnectAt) return this.#reportDown(new ReplicaError());
    this.#nextReconnectAt = now + this.#replicaBackoffMs;
    this.#replicaBackoffMs = Math.min(replicaBackoffMs.max, 2 * this.#replicaBackoffMs);
    this.#reconnect(new ReplicaError());
  }

  #handleBeat(): void {
    this.#heartbeat.handleBeat();
    this.#hasReceivedBeat = true;
    this.#goUpIfReady();
  }

  #goUpIfReady(): void {
    if (this.#isUp || this.#hasEnded) return;
    if (!this.#hasReceivedBeat || this.#isReplica !== false || this.#subscriptions.isFailing) return;
    this.#isUp = true;
    this.#events.onUp();
  }

  #goDown(reason: unknown): void {
    this.#hasReceivedBeat = false;
    this.#isReplica = undefined;
    this.#reportDown(reason);
  }

  #reportDown(reason: unknown, channel?: string): void {
    if (this.#hasEnded) return;
    this.#isUp = false;
    this.#events.onDown(reason, channel);
  }
}

function destroyConnection(connection: RedisConnection): void {
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

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms).unref());
