/**
 * If this many messages or bytes are in flight, the bus is not keeping up, and further messages are dropped. The other
 * nodes then read the changes from the room log when they reconcile.
 */
const maxPendingMessages = 5_000;
const maxPendingBytes = 16 * 1024 * 1024;

/** Droppable messages have a lower limit, so they are dropped long before other messages. */
const maxPendingDroppable = 500;
const maxPendingDroppableBytes = 1024 * 1024;

type Publish<C> = (connection: C) => Promise<number>;

export interface PublishEvents {
  /** Called for each message that did not reach the bus. */
  onLost(error: unknown): void;
  /** Called for the first message that reaches the bus after a loss. */
  onRecovered(): void;
}

/** Publishes in the order of the calls, and limits the messages in flight. Never throws. */
export class BoundedPublisher<C> {
  readonly #connection: () => C;
  readonly #events: PublishEvents;
  #isLosing = false;
  #count = 0;
  #bytes = 0;
  #dropped = 0;

  constructor(connection: () => C, events: PublishEvents) {
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
  async publishDroppable(bytes: number, publish: Publish<C>): Promise<number> {
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

  async publish(bytes: number, publish: Publish<C>): Promise<number> {
    if (this.#count >= maxPendingMessages || this.#bytes >= maxPendingBytes) {
      this.#handleLoss(new Error('The publish buffer is full: the bus does not keep up'));
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

/**
 * Recognizes the messages that this node has published itself. Redis delivers a message to its publisher, too, and the
 * Socket.IO adapter would decode the whole message before dropping it. This filter compares only the few bytes with the
 * adapter's id: the JSON of the sharded adapter ends with the id, and the MessagePack of the classic adapter begins with
 * it.
 */
export class EchoFilter {
  #suffix: Buffer | undefined;
  #prefix: Buffer | undefined;

  recordPublished(message: string | Buffer): void {
    if (typeof message === 'string') {
      const at = this.#suffix ? -1 : message.lastIndexOf(',"uid":"');
      if (at > 0) this.#suffix = Buffer.from(message.slice(at));
    } else if (!this.#prefix && message[0] === arrayOfThree && (message[1]! & stringMask) === shortString) {
      this.#prefix = Buffer.from(message.subarray(0, 2 + (message[1]! & ~stringMask)));
    }
  }

  isEcho(message: Buffer): boolean {
    if (this.#suffix?.equals(message.subarray(-this.#suffix.length))) return true;
    return this.#prefix?.equals(message.subarray(0, this.#prefix.length)) ?? false;
  }
}

/**
 * Type bytes of MessagePack: an array of three elements, and a short string, whose length is in the bits outside
 * `stringMask`.
 */
const arrayOfThree = 0x93;
const stringMask = 0xe0;
const shortString = 0xa0;
