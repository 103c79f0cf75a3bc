import { EventEmitter } from 'node:events';
import { BoundedPublisher } from './bounded-publisher.ts';
import { EchoFilter } from './echo-filter.ts';
import { createRedisConnection, ErrorReply, type RedisConnection, type RedisKind } from './redis-connection.ts';
import { type HealthEvents, RedisHealth } from './redis-health.ts';
import { Subscriptions } from './subscriptions.ts';

type ChannelListener = (message: Buffer, channel: Buffer) => void;
type Subscribe = (redis: RedisConnection, channel: string) => Promise<unknown>;

export interface PubSubEvents extends HealthEvents {
  /** A connection to one node of a Cluster was replaced: messages may have been missed although the link was up. */
  onMissed(): void;
  /** The channel is subscribed from now on. */
  onSubscribed(channel: string): void;
  /** Published messages reach Redis again. */
  onPublished(): void;
  /** The adapter does not understand a message that arrived. */
  onRejected(error: unknown): void;
}

const closeTimeoutMs = 500;

/**
 * One node's pub/sub client, with the methods that the Socket.IO adapters call. They never throw, and nothing is queued
 * for a Redis that is unavailable: the client reconnects by itself, with all its subscriptions.
 */
export class RedisPubSub extends EventEmitter {
  readonly #kind: RedisKind;
  readonly #events: PubSubEvents;
  readonly #publisher: BoundedPublisher;
  readonly #subscriptions: Subscriptions;
  readonly #health: RedisHealth;
  readonly #echoFilter = new EchoFilter();
  #publishConnection: RedisConnection;
  #subscribeConnection: RedisConnection;

  constructor(kind: RedisKind, beatChannel: string, events: PubSubEvents) {
    super();
    this.#kind = kind;
    this.#events = events;
    this.#health = new RedisHealth({
      ...{ kind, beatChannel, events },
      getConnection: () => this.#publishConnection,
      hasFailingSubscriptions: () => this.#subscriptions.isFailing,
      reconnect: () => this.#replaceConnections(),
    });
    this.#publishConnection = this.#open();
    this.#subscribeConnection = this.#open();
    this.#publisher = new BoundedPublisher(() => this.#publishConnection, {
      onLost: events.onLost,
      onRecovered: events.onPublished,
    });
    this.#subscriptions = new Subscriptions({
      onSubscribed: (channel) => {
        if (channel === beatChannel) this.#health.sendBeat();
        else events.onSubscribed(channel);
      },
      onFailed: (error, channel) => {
        // Without a connection everything fails, and the connection reports why.
        if (this.#health.hasReceivedBeat || error instanceof ErrorReply) this.#health.reportDown(error, channel);
      },
      onRecovered: () => this.#health.goUpIfReady(),
    });
    void this.subscribe(beatChannel, () => this.#health.handleBeat());
  }

  /** Whether beats of this node return over a master, and every wanted channel is subscribed, as far as is known. */
  get isUp(): boolean {
    return this.#health.isUp;
  }

  /** The messages in flight to Redis. */
  get pendingPublishes(): { messages: number; bytes: number } {
    return this.#publisher.pending;
  }

  /** For commands other than those below. They may fail and wait; pass the error of a write to `handleWriteFailure`. */
  get connection(): RedisConnection {
    return this.#publishConnection;
  }

  handleWriteFailure(error: unknown): void {
    this.#health.handleWriteFailure(error);
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

  /** Messages in flight are sent first, unless Redis does not accept them within the timeout. */
  async close(): Promise<void> {
    this.#health.stop();
    this.#subscriptions.end();
    const connections = [this.#publishConnection, this.#subscribeConnection];
    await Promise.race([Promise.allSettled([this.#publishConnection.close()]), sleep(closeTimeoutMs)]);
    for (const connection of connections) destroyConnection(connection);
  }

  /** A listener that throws would discard everything else that has arrived on the connection. */
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
      if (isCurrent()) this.#health.goDown(error);
    });
    connection.on('ready', () => this.#health.sendBeat());
    connection.on('node-ready', () => {
      this.#health.sendBeat();
      if (this.isUp && isCurrent()) this.#events.onMissed();
    });
    // A single server's client retries by itself and emits `error`; a Cluster's is replaced when beats stay out.
    connection.connect().catch((error: unknown) => {
      if (isCurrent()) this.#health.goDown(error);
    });
    return connection;
  }

  /** A connection can be dead and look alive, so both are replaced. */
  #replaceConnections(): void {
    const old = [this.#publishConnection, this.#subscribeConnection];
    this.#publishConnection = this.#open();
    this.#subscribeConnection = this.#open();
    for (const connection of old) destroyConnection(connection);
    this.#subscriptions.resubscribeAll();
  }
}

function destroyConnection(connection: RedisConnection): void {
  const destroy = () => {
    try {
      connection.destroy();
    } catch {
      // It had already ended.
    }
  };
  // A connection attempt in progress cannot be destroyed: the client does not know its socket before it is connected.
  connection.on('connect', destroy);
  destroy();
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms).unref());
