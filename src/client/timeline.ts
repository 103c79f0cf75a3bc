import { ChatClientError } from './errors.ts';
import type { AckCallback, Link } from './link.ts';
import type { Message, ServerEventPayloads } from './wire.ts';

/** Pages that the user loads may exceed `maxMessages`, up to this multiple of it. */
const maxGrowthFactor = 10;

type Position = Pick<ServerEventPayloads['message:new'], 'rev' | 'cursor'>;

/** The client's copy of a room's log: its position, and messages without a gap. */
export class Timeline {
  rev: number;
  cursor: string;
  hasOlder: boolean;
  /** The history before the timeline ends below this `seq`. */
  oldestSeq: number;
  #messages: Message[] = [];
  readonly #maxMessages: number;
  /** Grows with the pages that the user loads. */
  #limit: number;
  /** While an older page is on its way, nothing is dropped: the page must fit in front of the oldest message. */
  #isLoading = false;
  /** Made on demand, so that many changes in a row need one copy. */
  #snapshot: readonly Message[] | undefined;

  /** `position` and `lastSeq` come from the same acknowledgement of a join, so they belong together. */
  constructor(position: Position, lastSeq: number, maxMessages: number) {
    this.#maxMessages = this.#limit = maxMessages;
    this.rev = position.rev;
    this.cursor = position.cursor;
    this.oldestSeq = lastSeq + 1;
    this.hasOlder = lastSeq > 0;
  }

  get messages(): readonly Message[] {
    this.#snapshot ??= [...this.#messages];
    return this.#snapshot;
  }

  /** Moves to the change if it is the next one. An event without a `rev` is no change of the log, and counts as known. */
  advance({ rev, cursor }: Position): 'known' | 'next' | 'gap' {
    if (!(rev > this.rev)) return 'known';
    if (rev !== this.rev + 1) return 'gap';
    this.rev = rev;
    this.cursor = cursor;
    return 'next';
  }

  /** Returns the messages that were dropped to make room. */
  append(message: Message): readonly Message[] {
    this.#messages.push(message);
    this.#snapshot = undefined;
    return this.#isLoading ? [] : this.#dropExcess();
  }

  get isFull(): boolean {
    return this.#messages.length >= maxGrowthFactor * this.#maxMessages;
  }

  /** Returns the `before` of the page to request. Call `finishLoading` when the request has ended. */
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

/** Loads history in front of the timeline, one page at a time: concurrent calls share a request. */
export class OlderPages {
  readonly #connection: { readonly link: Pick<Link, 'request'> | undefined };
  readonly #ref: number | string;
  #pending: Promise<readonly Message[]> | undefined;

  constructor(connection: { readonly link: Pick<Link, 'request'> | undefined }, ref: number | string) {
    this.#connection = connection;
    this.#ref = ref;
  }

  load(limit: number, getTimeline: () => Timeline): Promise<readonly Message[]> {
    this.#pending ??= this.#load(limit, getTimeline).finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #load(limit: number, getTimeline: () => Timeline): Promise<readonly Message[]> {
    const timeline = getTimeline();
    if (!timeline.hasOlder) return [];
    const { link } = this.#connection;
    if (!link) throw new ChatClientError('UNREACHABLE', 'The client is not connected');
    if (timeline.isFull) throw new ChatClientError('LIMIT', `The room holds ${maxGrowthFactor} times maxMessages`);
    const page = { room_id: this.#ref, before: timeline.startLoading(), limit };
    return new Promise<readonly Message[]>((resolve, reject) => {
      const onPage: AckCallback<'message:history'> = (error, ack) => {
        if (error) return reject(error);
        // A reset has replaced the timeline, so the page no longer fits.
        if (timeline !== getTimeline()) return resolve([]);
        timeline.prepend(ack);
        resolve(ack.messages);
      };
      link.request('message:history', page, onPage);
    }).finally(() => timeline.finishLoading());
  }
}
