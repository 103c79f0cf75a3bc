import { EventEmitter } from 'node:events';
import { BoundedPublisher, EchoFilter } from './publisher.ts';
import { createRedisConnection, ErrorReply, type RedisConnection, type RedisKind } from './redis-connection.ts';
import { type HealthEvents, RedisHealth } from './redis-health.ts';
import { type Subscriber, Subscriptions } from './subscriptions.ts';

type ChannelListener = (message: Buffer, channel: Buffer) => void;
/** The commands of one kind of subscription. */
interface Commands {
  subscribe(redis: RedisConnection, channel: string, listener: ChannelListener): Promise<unknown>;
  unsubscribe(redis: RedisConnection, channel: string): Promise<unknown>;
}

const plainCommands: Commands = {
  subscribe: (redis, channel, listener) => redis.subscribe(channel, listener, true),
  unsubscribe: (redis, channel) => redis.unsubscribe(channel),
};
const patternCommands: Commands = {
  subscribe: (redis, pattern, listener) => redis.pSubscribe(pattern, listener, true),
  unsubscribe: (redis, pattern) => redis.pUnsubscribe(pattern),
};
const shardedCommands: Commands = {
  subscribe: (redis, channel, listener) => redis.sSubscribe(channel, listener, true),
  unsubscribe: (redis, channel) => redis.sUnsubscribe(channel),
};

export interface PubSubEvents extends HealthEvents {
  /**
   * A connection to one node of a Cluster was replaced. Messages may have been missed, although the link was up all the
   * time.
   */
  onMissed(): void;
  /** The subscription to the channel has started. */
  onSubscribed(channel: string): void;
  /** Messages reach Redis again after a loss. */
  onPublished(): void;
  /** The adapter threw an error when it handled a message that arrived. */
  onRejected(error: unknown): void;
}

const closeTimeoutMs = 500;

/**
 * The pub/sub client of one node, with the methods that the Socket.IO adapters call. The methods never throw. While
 * Redis is unavailable, messages are dropped and not queued. The client reconnects by itself and restores all
 * subscriptions.
 */
export class RedisPubSub extends EventEmitter {
  readonly #kind: RedisKind;
  readonly #events: PubSubEvents;
  readonly #publisher: BoundedPublisher<RedisConnection>;
  readonly #subscriptions: Subscriptions;
  /** By listener. The adapter passes the same listener for the channels of all rooms, which then share one subscriber. */
  readonly #sharded = new WeakMap<ChannelListener, Subscriber>();
  readonly #health: RedisHealth;
  readonly #echoFilter = new EchoFilter();
  #isDroppable = false;
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
        // Without a connection, every subscription fails. In that case, the `error` event of the connection reports the
        // cause.
        if (this.#health.hasReceivedBeat || error instanceof ErrorReply) this.#health.reportDown(error, channel);
      },
      onRecovered: () => this.#health.goUpIfReady(),
    });
    void this.subscribe(beatChannel, () => this.#health.handleBeat());
  }

  /** Whether the beats of this node return from a master, and every wanted channel is subscribed. */
  get isUp(): boolean {
    return this.#health.isUp;
  }

  /** The number and the size of the messages in flight to Redis. */
  get pendingPublishes(): { messages: number; bytes: number } {
    return this.#publisher.pending;
  }

  /**
   * The connection for commands that have no method in this class. Unlike the methods, these commands may reject, or hang
   * if Redis does not answer. If a write fails, pass the error to `handleWriteFailure`.
   */
  get connection(): RedisConnection {
    return this.#publishConnection;
  }

  handleWriteFailure(error: unknown): void {
    this.#health.handleWriteFailure(error);
  }

  /** The number of droppable messages that were dropped or lost. */
  get droppedPublishes(): number {
    return this.#publisher.dropped;
  }

  publish(channel: string, message: string | Buffer): Promise<number> {
    return this.#publish(message, (redis) => redis.publish(channel, message));
  }

  sPublish(channel: string, message: string | Buffer): Promise<number> {
    return this.#publish(message, (redis) => redis.sPublish(channel, message));
  }

  /**
   * Runs `publish`. The messages that it publishes may be dropped, and their loss is not reported. A flag is enough to
   * mark them, because the adapters call the methods above before they return.
   */
  publishDroppable(publish: () => void): void {
    this.#isDroppable = true;
    try {
      publish();
    } finally {
      this.#isDroppable = false;
    }
  }

  #publish(message: string | Buffer, publish: (redis: RedisConnection) => Promise<number>): Promise<number> {
    this.#echoFilter.recordPublished(message);
    return this.#isDroppable
      ? this.#publisher.publishDroppable(message.length, publish)
      : this.#publisher.publish(message.length, publish);
  }

  async subscribe(channels: string | string[], listener: ChannelListener): Promise<void> {
    const subscriber = this.#createSubscriber(plainCommands, listener);
    for (const channel of [channels].flat()) this.#subscriptions.add(channel, subscriber);
  }

  async pSubscribe(pattern: string, listener: ChannelListener): Promise<void> {
    this.#subscriptions.add(pattern, this.#createSubscriber(patternCommands, listener));
  }

  async sSubscribe(channel: string, listener: ChannelListener): Promise<void> {
    const subscriber = this.#sharded.get(listener) ?? this.#createSubscriber(shardedCommands, listener);
    this.#sharded.set(listener, subscriber);
    this.#subscriptions.add(channel, subscriber);
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

  /** Waits until the messages in flight have been sent, but no longer than `closeTimeoutMs`. */
  async close(): Promise<void> {
    this.#health.stop();
    this.#subscriptions.end();
    const connections = [this.#publishConnection, this.#subscribeConnection];
    await Promise.race([Promise.allSettled([this.#publishConnection.close()]), sleep(closeTimeoutMs)]);
    for (const connection of connections) destroyConnection(connection);
  }

  /**
   * Drops the messages of this node, and catches errors of the listener. After an uncaught error of a listener, the
   * client would discard all other messages that have arrived on the connection.
   */
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

  #createSubscriber({ subscribe, unsubscribe }: Commands, listener: ChannelListener): Subscriber {
    const guarded = this.#guardListener(listener);
    return {
      subscribe: (channel) => subscribe(this.#subscribeConnection, channel, guarded),
      unsubscribe: (channel) => unsubscribe(this.#subscribeConnection, channel),
    };
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
    // If connecting fails, the client of a single server retries by itself. The client of a Cluster does not retry; it
    // is replaced when no beats have returned for some time.
    connection.connect().catch((error: unknown) => {
      if (isCurrent()) this.#health.goDown(error);
    });
    return connection;
  }

  /** Replaces both connections. A connection can be dead without an error, so it cannot repair itself. */
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
      // `destroy` throws if the connection has already ended. Then there is nothing to do.
    }
  };
  // While a connection is being opened, `destroy` has no effect, because the client does not know the socket yet. So
  // `destroy` is called again as soon as the connection is open.
  connection.on('connect', destroy);
  destroy();
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms).unref());
