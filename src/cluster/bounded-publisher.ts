import type { RedisConnection } from './redis-connection.ts';

/**
 * If more than this is in flight, Redis is not keeping up, and further messages are dropped. The other nodes find
 * dropped changes in the log.
 */
const maxPendingMessages = 5_000;
const maxPendingBytes = 16 * 1024 * 1024;

/** Messages that may be dropped are dropped long before those that may not. */
const maxPendingDroppable = 500;
const maxPendingDroppableBytes = 1024 * 1024;

type Publish = (connection: RedisConnection) => Promise<number>;

export interface PublishEvents {
  /** Called for each message that did not reach Redis. */
  onLost(error: unknown): void;
  /** Called for the first message that reaches Redis after a loss. */
  onRecovered(): void;
}

/** Publishes to Redis in the order of the calls. It never throws, and it limits the messages in flight. */
export class BoundedPublisher {
  readonly #connection: () => RedisConnection;
  readonly #events: PublishEvents;
  #isLosing = false;
  #count = 0;
  #bytes = 0;
  #dropped = 0;

  constructor(connection: () => RedisConnection, events: PublishEvents) {
    this.#connection = connection;
    this.#events = events;
  }

  /** The number and the size of the messages in flight. */
  get pending(): { messages: number; bytes: number } {
    return { messages: this.#count, bytes: this.#bytes };
  }

  /** The number of droppable messages that were dropped or lost. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Publishes a message that may be dropped. Its loss is only counted. */
  async publishDroppable(bytes: number, publish: Publish): Promise<number> {
    if (this.#count >= maxPendingDroppable || this.#bytes >= maxPendingDroppableBytes) {
      this.#dropped += 1;
      return 0;
    }
    this.#count += 1;
    this.#bytes += bytes;
    try {
      return await publish(this.#connection());
    } catch {
      this.#dropped += 1;
      return 0;
    } finally {
      this.#count -= 1;
      this.#bytes -= bytes;
    }
  }

  async publish(bytes: number, publish: Publish): Promise<number> {
    if (this.#count >= maxPendingMessages || this.#bytes >= maxPendingBytes) {
      this.#handleLoss(new Error('The publish buffer is full: Redis does not keep up'));
      return 0;
    }
    this.#count += 1;
    this.#bytes += bytes;
    try {
      const receivers = await publish(this.#connection());
      if (this.#isLosing) this.#recover();
      return receivers;
    } catch (error) {
      this.#handleLoss(error);
      return 0;
    } finally {
      this.#count -= 1;
      this.#bytes -= bytes;
    }
  }

  #handleLoss(error: unknown): void {
    this.#isLosing = true;
    this.#events.onLost(error);
  }

  #recover(): void {
    this.#isLosing = false;
    this.#events.onRecovered();
  }
}
