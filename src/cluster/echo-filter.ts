/**
 * Recognizes the messages that this node published itself. Redis delivers a message to its publisher, too, and an
 * adapter would decode the whole message before dropping it. This filter compares only the few bytes with the name of
 * the server: the sharded adapter's JSON ends with the name, and the classic adapter's MessagePack begins with it.
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
