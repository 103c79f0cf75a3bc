import type { Announcements, Message } from './wire.ts';

/** Pages that were asked for are kept beyond the limit, up to this many times of it. */
const maxGrowth = 10;

type Position = Pick<Announcements['message:new'], 'rev' | 'cursor'>;

/** What is known of a room's log: how far, and its messages without a gap. */
export class Timeline {
  rev: number;
  cursor: string;
  hasOlder: boolean;
  /** History begins before it. */
  oldest: number;
  #messages: Message[] = [];
  readonly #maxMessages: number;
  /** Grows with the pages that are asked for. */
  #limit: number;
  /** Nothing is dropped while a page is on its way that belongs in front of it. */
  #isLoading = false;
  /** Made when it is asked for, so that many changes at once make one. */
  #shown: readonly Message[] | undefined;

  /** From the acknowledgement of a join, in which `lastSeq` and the position are of one moment. */
  constructor({ rev, cursor }: Position, lastSeq: number, maxMessages: number) {
    this.#maxMessages = this.#limit = maxMessages;
    this.rev = rev;
    this.cursor = cursor;
    this.oldest = lastSeq + 1;
    this.hasOlder = lastSeq > 0;
  }

  get messages(): readonly Message[] {
    this.#shown ??= [...this.#messages];
    return this.#shown;
  }

  /** The three lines of the protocol. What has no `rev` is no change of the log. */
  take({ rev, cursor }: Position): 'known' | 'next' | 'gap' {
    if (!(rev > this.rev)) return 'known';
    if (rev !== this.rev + 1) return 'gap';
    this.rev = rev;
    this.cursor = cursor;
    return 'next';
  }

  /** Returns what is dropped for it. */
  append(message: Message): readonly Message[] {
    this.#messages.push(message);
    this.#shown = undefined;
    return this.#isLoading ? [] : this.#drop();
  }

  get isFull(): boolean {
    return this.#messages.length >= maxGrowth * this.#maxMessages;
  }

  /** A page is asked for: `before` is the place that it belongs to, until it is there or `loaded`. */
  load(): number {
    this.#isLoading = true;
    return this.oldest;
  }

  loaded(): void {
    this.#isLoading = false;
  }

  prepend({ messages, has_more }: { messages: readonly Message[]; has_more: boolean }): void {
    this.#messages.unshift(...messages);
    this.#shown = undefined;
    this.oldest = messages[0]?.seq ?? this.oldest;
    this.hasOlder = has_more;
    if (this.#isLoading) this.#limit = Math.max(this.#limit, this.#messages.length);
    else this.#drop();
  }

  #drop(): readonly Message[] {
    const dropped = this.#messages.splice(0, Math.max(0, this.#messages.length - this.#limit));
    if (dropped.length === 0) return dropped;
    this.oldest = this.#messages[0]?.seq ?? dropped.at(-1)!.seq + 1;
    this.hasOlder = true;
    return dropped;
  }
}
