/**
 * Recognizes by a few bytes the messages that this node published itself. Redis delivers them to their publisher too,
 * and an adapter decodes a whole message before it drops it. The sharded adapter's JSON ends with the name of the server,
 * the classic adapter's MessagePack begins with it.
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

/** Type bytes of MessagePack. */
const arrayOfThree = 0x93;
const stringMask = 0xe0;
const shortString = 0xa0;
