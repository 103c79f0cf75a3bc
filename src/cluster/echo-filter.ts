/**
 * Recognises by a few bytes what this node has published itself. Redis sends it back, and an adapter reads all of it
 * before it drops it. The sharded adapter ends its JSON with the name of the server, the classic one begins with it.
 */
export class OwnMark {
  #end: Buffer | undefined;
  #begin: Buffer | undefined;

  learn(published: string | Buffer): void {
    if (typeof published === 'string') {
      const at = this.#end ? -1 : published.lastIndexOf(',"uid":"');
      if (at > 0) this.#end = Buffer.from(published.slice(at));
    } else if (!this.#begin && published[0] === arrayOfThree && (published[1]! & stringMask) === shortString) {
      this.#begin = Buffer.from(published.subarray(0, 2 + (published[1]! & ~stringMask)));
    }
  }

  isOn(heard: Buffer): boolean {
    if (this.#end?.equals(heard.subarray(-this.#end.length))) return true;
    return this.#begin?.equals(heard.subarray(0, this.#begin.length)) ?? false;
  }
}

/** As MessagePack has them. */
const arrayOfThree = 0x93;
const stringMask = 0xe0;
const shortString = 0xa0;
