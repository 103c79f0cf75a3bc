import type { Announcements, Message } from './wire.ts';

type Position = Pick<Announcements['message:new'], 'rev' | 'cursor'>;

/** What is known of a room's log: how far, and its messages without a gap. */
export class Timeline {
  rev: number;
  cursor: string;
  hasOlder: boolean;
  /** History begins before it. */
  oldest: number;
  #messages: Message[] = [];
  /** Made when it is asked for, so that many changes at once make one. */
  #shown: readonly Message[] | undefined;

  /** From the acknowledgement of a join, in which `lastSeq` and the position are of one moment. */
  constructor({ rev, cursor }: Position, lastSeq: number) {
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

  append(message: Message): void {
    this.#messages.push(message);
    this.#shown = undefined;
  }

  prepend({ messages, has_more }: { messages: readonly Message[]; has_more: boolean }): void {
    this.#messages.unshift(...messages);
    this.#shown = undefined;
    this.oldest = messages[0]?.seq ?? this.oldest;
    this.hasOlder = has_more;
  }
}
