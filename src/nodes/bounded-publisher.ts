import type { RedisConnection } from './redis-connection.ts';

/** Beyond this Redis cannot keep up, and what is dropped is found in the log. */
const mostOnTheirWay = 5_000;
const mostBytesOnTheirWay = 16 * 1024 * 1024;

type Publish = (connection: RedisConnection) => Promise<number>;

/**
 * Sends to Redis what nobody waits for: in the order of the calls, never failing, and never keeping more than so much
 * of it. `lost` hears of each that did not get there.
 */
export class BoundedPublisher {
  readonly #connection: () => RedisConnection;
  readonly #lost: (error: unknown) => void;
  #count = 0;
  #bytes = 0;

  constructor(connection: () => RedisConnection, lost: (error: unknown) => void) {
    this.#connection = connection;
    this.#lost = lost;
  }

  /** What is on its way. */
  get load(): { messages: number; bytes: number } {
    return { messages: this.#count, bytes: this.#bytes };
  }

  async publish(bytes: number, publish: Publish): Promise<number> {
    if (this.#count >= mostOnTheirWay || this.#bytes >= mostBytesOnTheirWay) {
      this.#lost(new Error('More is to be published than Redis takes'));
      return 0;
    }
    this.#count += 1;
    this.#bytes += bytes;
    try {
      return await publish(this.#connection());
    } catch (error) {
      this.#lost(error);
      return 0;
    } finally {
      this.#count -= 1;
      this.#bytes -= bytes;
    }
  }
}
