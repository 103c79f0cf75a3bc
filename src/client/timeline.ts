import { ChatClientError } from './errors.ts';
import type { AckCallback, Link } from './link.ts';
import type { Message, ServerEventPayloads } from './wire.ts';

/** When the user loads older pages, the timeline may grow to this multiple of `maxMessages`. */
const maxGrowthFactor = 10;

type Position = Pick<ServerEventPayloads['message:new'], 'rev' | 'cursor'>;

/** The client's copy of a room's log: the position in the log, and the messages without a gap. */
export class Timeline {
  rev: number;
  cursor: string;
  hasOlder: boolean;
  /** Messages older than the timeline have a `seq` below this number. */
  oldestSeq: number;
  #messages: Message[] = [];
  readonly #maxMessages: number;
  /** The number of messages that the timeline keeps. Grows when the user loads older pages. */
  #limit: number;
  /**
   * While an older page is being loaded, no message is dropped: otherwise the page would no longer fit in front of the
   * oldest message.
   */
  #isLoading = false;
  /** A copy of the messages. It is made only when somebody reads it, so that many changes in a row cost one copy. */
  #snapshot: readonly Message[] | undefined;

  /** `position` and `lastSeq` must come from the same acknowledgement of a join. */
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

  /**
   * Moves the position forward if the change is the next one. An event without a `rev` is not a change of the log, and
   * the result is `known`.
   */
  advance({ rev, cursor }: Position): 'known' | 'next' | 'gap' {
    if (!(rev > this.rev)) return 'known';
    if (rev !== this.rev + 1) return 'gap';
    this.rev = rev;
    this.cursor = cursor;
    return 'next';
  }

  /** Returns the oldest messages, which were dropped to make room. */
  append(message: Message): readonly Message[] {
    this.#messages.push(message);
    this.#snapshot = undefined;
    return this.#isLoading ? [] : this.#dropExcess();
  }

  get isFull(): boolean {
    return this.#messages.length >= maxGrowthFactor * this.#maxMessages;
  }

  /** Returns the value of `before` for the request of the page. Call `finishLoading` when the request has ended. */
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

/** Loads the history before the timeline, one page at a time. Concurrent calls share one request. */
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
