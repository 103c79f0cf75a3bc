import type { RedisConnection } from './redis-connection.ts';

/** Beyond this Redis cannot keep up, and what is dropped is found in the log. */
const maxPendingMessages = 5_000;
const maxPendingBytes = 16 * 1024 * 1024;

type Publish = (connection: RedisConnection) => Promise<number>;

export interface PublishEvents {
  /** Called for each that did not get there. */
  onLost(error: unknown): void;
  /** The first one that got there after some were lost. */
  onRecovered(): void;
}

/**
 * Sends to Redis what nobody waits for: in the order of the calls, never failing, and never keeping more than so much
 * of it.
 */
export class BoundedPublisher {
  readonly #connection: () => RedisConnection;
  readonly #events: PublishEvents;
  #isLosing = false;
  #count = 0;
  #bytes = 0;

  constructor(connection: () => RedisConnection, events: PublishEvents) {
    this.#connection = connection;
    this.#events = events;
  }

  /** What is on its way. */
  get pending(): { messages: number; bytes: number } {
    return { messages: this.#count, bytes: this.#bytes };
  }

  async publish(bytes: number, publish: Publish): Promise<number> {
    if (this.#count >= maxPendingMessages || this.#bytes >= maxPendingBytes) {
      this.#handleLoss(new Error('More is to be published than Redis takes'));
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
