import { ChatClientError } from './errors.ts';
import type { AckCallback, Link } from './link.ts';
import type { Message, ServerEventPayloads } from './wire.ts';

/** By loading older pages, the timeline can grow to this multiple of `maxMessages`. */
const maxGrowthFactor = 10;

type Position = Pick<ServerEventPayloads['message:new'], 'rev' | 'cursor'>;

/** The client's copy of the end of a room's log: the position in the log, and the latest messages without a gap. */
export class Timeline {
  rev: number;
  cursor: string;
  hasOlder: boolean;
  /** The `seq` of the oldest message in the timeline. If the timeline is empty, the `seq` of its next message. */
  oldestSeq: number;
  #messages: Message[] = [];
  readonly #maxMessages: number;
  /** The number of messages that the timeline keeps. It grows when older pages are loaded. */
  #limit: number;
  /**
   * While an older page is being loaded, no message is dropped. Otherwise there would be a gap between the page and the
   * oldest message.
   */
  #isLoading = false;
  /**
   * The array that `messages` returns. It is created only when it is read, so that many changes in a row need one copy.
   */
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
   * Advances the position if the change is the next one in the log. Returns `known` for a change that was received
   * before, and for an event that is not a change of the log, which has no `rev`. Returns `gap` if changes are missing
   * before this one.
   */
  advance({ rev, cursor }: Position): 'known' | 'next' | 'gap' {
    if (!(rev > this.rev)) return 'known';
    if (rev !== this.rev + 1) return 'gap';
    this.rev = rev;
    this.cursor = cursor;
    return 'next';
  }

  /** Adds a message at the end. Returns the oldest messages if they were dropped because there were too many. */
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
        // If a reset has replaced the timeline, the page does not belong to the new timeline.
        if (timeline !== getTimeline()) return resolve([]);
        timeline.prepend(ack);
        resolve(ack.messages);
      };
      link.request('message:history', page, onPage);
    }).finally(() => timeline.finishLoading());
  }
}
