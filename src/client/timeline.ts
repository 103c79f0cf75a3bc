import type { Message, ServerEventPayloads } from './wire.ts';

/** Pages that were asked for are kept beyond the limit, up to this many times of it. */
const maxGrowthFactor = 10;

type Position = Pick<ServerEventPayloads['message:new'], 'rev' | 'cursor'>;

/** What is known of a room's log: how far, and its messages without a gap. */
export class Timeline {
  rev: number;
  cursor: string;
  hasOlder: boolean;
  /** History begins before it. */
  oldestSeq: number;
  #messages: Message[] = [];
  readonly #maxMessages: number;
  /** Grows with the pages that are asked for. */
  #limit: number;
  /** Nothing is dropped while a page is on its way that belongs in front of it. */
  #isLoading = false;
  /** Made when it is asked for, so that many changes at once make one. */
  #snapshot: readonly Message[] | undefined;

  /** From the acknowledgement of a join, in which `lastSeq` and the position are of one moment. */
  constructor({ rev, cursor }: Position, lastSeq: number, maxMessages: number) {
    this.#maxMessages = this.#limit = maxMessages;
    this.rev = rev;
    this.cursor = cursor;
    this.oldestSeq = lastSeq + 1;
    this.hasOlder = lastSeq > 0;
  }

  get messages(): readonly Message[] {
    this.#snapshot ??= [...this.#messages];
    return this.#snapshot;
  }

  /** The three lines of the protocol. What has no `rev` is no change of the log. */
  advance({ rev, cursor }: Position): 'known' | 'next' | 'gap' {
    if (!(rev > this.rev)) return 'known';
    if (rev !== this.rev + 1) return 'gap';
    this.rev = rev;
    this.cursor = cursor;
    return 'next';
  }

  /** Returns what is dropped for it. */
  append(message: Message): readonly Message[] {
    this.#messages.push(message);
    this.#snapshot = undefined;
    return this.#isLoading ? [] : this.#dropExcess();
  }

  get isFull(): boolean {
    return this.#messages.length >= maxGrowthFactor * this.#maxMessages;
  }

  /** A page is asked for: `before` is the place that it belongs to, until it is there or `loaded`. */
  startLoading(): number {
    this.#isLoading = true;
    return this.oldestSeq;
  }

  finishLoading(): void {
    this.#isLoading = false;
  }

  prepend({ messages, has_more }: { messages: readonly Message[]; has_more: boolean }): void {
    this.#messages.unshift(...messages);
    this.#snapshot = undefined;
    this.oldestSeq = messages[0]?.seq ?? this.oldestSeq;
    this.hasOlder = has_more;
    if (this.#isLoading) this.#limit = Math.max(this.#limit, this.#messages.length);
    else this.#dropExcess();
  }

  #dropExcess(): readonly Message[] {
    const dropped = this.#messages.splice(0, Math.max(0, this.#messages.length - this.#limit));
    if (dropped.length === 0) return dropped;
    this.oldestSeq = this.#messages[0]?.seq ?? dropped.at(-1)!.seq + 1;
    this.hasOlder = true;
    return dropped;
  }
}
