import { ChatClientError } from './errors.ts';
import { keepMine, type Message, mergeVersions, splitPayload, toMessage, toTombstone } from './message.ts';
import type { RoomConnection } from './room-connection.ts';
import type { ChangeEvent, ReactionCount, ReactionDelta, WireMessage } from './wire.ts';

const defaultPageSize = 100;

export interface MessageListOptions {
  connection: RoomConnection;
  /** The room. */
  ref: number | string;
  /** The list contains the replies in this thread; without it, the messages that are not in a thread. */
  thread?: number | undefined;
  /**
   * The newest page has the messages before this `seq`. 0 if the room has none; undefined if the newest `seq` is
   * unknown.
   */
  before?: number | undefined;
  /** The first page has the messages around this `seq`, instead of the newest ones. */
  around?: number | undefined;
  /** Returns the message with the changes that the user has made and the service has not acknowledged yet. */
  show(message: Message): Message;
  onChanged(message: Message): void;
}

interface Reacted {
  seq: number;
  reactions: ReactionCount[];
  changes?: readonly ReactionDelta[] | undefined;
}

/** `latest`: the newest page, which replaces the messages. */
type Direction = 'older' | 'newer' | 'latest';

interface Page {
  messages: readonly WireMessage[];
  rev: number;
  has_more: boolean;
  next: { before?: number | undefined; after?: number | undefined } | null;
}

interface Entry {
  /** The message as the service knows it. */
  base: Message;
  shown: Message;
  /** The position in the log up to which the reactions are known. Needed because reactions have no version. */
  reactionsRev: number;
  repliesRev: number;
}

/**
 * At most `keep` messages of a room or of a thread, in the order of `seq` and without a gap. New messages of the log enter
 * the list only if no messages are missing between them and the list.
 */
export class MessageList {
  hasOlder = true;
  hasNewer: boolean;
  /** The `before` with which the next older page is requested. */
  before: number | undefined;
  /** The `after` with which the next newer page is requested. */
  #after: number | undefined;
  readonly #options: MessageListOptions;
  #entries = new Map<number, Entry>();
  /** The `seq` of the newest message in the list. */
  #lastSeq = 0;
  /** The greatest `seq` that has arrived, in the list or not. */
  #newestSeq = 0;
  /**
   * The changes that have arrived while a page is being loaded. They may concern messages of the page. Meanwhile no message
   * is dropped: otherwise there would be a gap between the page and the list.
   */
  #kept: ChangeEvent[] | undefined;
  /** The array that `messages` returns. It is created when it is read, so that many changes in a row need one copy. */
  #snapshot: readonly Message[] | undefined;
  #page: Promise<readonly Message[]> | undefined;
  #pageDirection: Direction | undefined;
  #dropped: Message[] = [];

  constructor(options: MessageListOptions) {
    this.#options = options;
    this.before = options.before;
    this.hasNewer = options.around !== undefined;
  }

  get messages(): readonly Message[] {
    this.#snapshot ??= Array.from(this.#entries.values(), ({ shown }) => shown);
    return this.#snapshot;
  }

  /**
   * Requests the next page in this direction, without one the first page, and adds it. A page of a filtered history may be
   * empty although more messages exist; then the next page is requested. If `isWanted` returns false, `callback` is not
   * called.
   */
  load(
    callback: (error: ChatClientError | undefined, messages: readonly Message[]) => void,
    isWanted: () => boolean,
    { direction, limit = defaultPageSize }: { direction?: Direction; limit?: number | undefined } = {},
  ): void {
    const { before } = this;
    const after = this.#after;
    const { connection, ref: room_id, thread, around } = this.#options;
    const filter = thread === undefined ? { top_level: true as const } : { thread };
    const position =
      direction === 'newer'
        ? { after: after! }
        : !direction && around !== undefined
          ? { around }
          : direction !== 'latest' && before !== undefined && { before };
    connection.link!.request(
      'message:history',
      { room_id, limit: Math.min(limit, connection.limits.keep), ...position, ...filter },
      (error, ack) => {
        if (!isWanted()) return;
        const messages = error ? [] : this.add(ack, direction);
        const hasMore =
          direction === 'newer' ? this.hasNewer && this.#after !== after : this.hasOlder && this.before !== before;
        if (error || messages.length > 0 || !hasMore) callback(error, messages);
        else this.load(callback, isWanted, { direction: direction === 'newer' ? direction : 'older', limit });
      },
      isWanted,
    );
  }

  /** Concurrent calls for the same direction share one request. */
  async loadMore(direction: Direction, limit?: number): Promise<readonly Message[]> {
    // Another page would drop messages at the end that the running request continues.
    while (this.#page && this.#pageDirection !== direction) await this.#page.catch(() => {});
    this.#pageDirection = direction;
    this.#page ??= new Promise<readonly Message[]>((resolve, reject) => {
      const { link } = this.#options.connection;
      if (!(direction === 'older' ? this.hasOlder : this.hasNewer)) return resolve([]);
      if (!link) throw new ChatClientError('UNREACHABLE', 'The client is not connected');
      this.startLoading();
      this.load(
        (error, messages) => (error ? reject(error) : resolve(messages)),
        () => true,
        { direction, limit },
      );
    }).finally(() => {
      this.#page = undefined;
      this.finishLoading();
    });
    return this.#page;
  }

  find(seq: number): Message | undefined {
    return this.#entries.get(seq)?.shown;
  }

  /** The message as the service has it. */
  findBase(seq: number): Message | undefined {
    return this.#entries.get(seq)?.base;
  }

  /** Applies a change of the log. Returns the message if it is new, even if it does not enter the list. */
  apply(change: ChangeEvent): Message | undefined {
    this.#kept?.push(change);
    const { name, payload } = change;
    if (name === 'reaction:changed') this.setReactions(payload.seq, payload.rev, this.#markMine(payload));
    if (name !== 'message:new' && name !== 'message:changed') return;
    const { rev, root, message } = splitPayload(payload);
    if (root) this.#setReplies(root.seq, rev, root.replies);
    const { seq, replies } = message;
    if (message.reactions) message.reactions = this.#markMine(payload as Reacted);
    const { reactions } = message;
    if (name === 'message:new' && this.#contains(message) && seq > this.#lastSeq) {
      const isNew = seq > this.#newestSeq;
      this.#newestSeq = Math.max(this.#newestSeq, seq);
      const entry = this.#createEntry(message, rev);
      if (!this.hasNewer) this.#append(entry);
      return isNew ? entry.shown : undefined;
    }
    this.merge(message);
    if (reactions) this.setReactions(seq, rev, reactions);
    if (replies) this.#setReplies(seq, rev, replies);
  }

  /** Merges a copy of a message. Its version, not the order of arrival, decides whether it is newer. */
  merge(message: WireMessage): void {
    const entry = this.#entries.get(message.seq);
    if (entry) this.#setBase(entry, mergeVersions(entry.base, message));
  }

  setReactions(seq: number, rev: number, reactions: Message['reactions']): void {
    const entry = this.#entries.get(seq);
    if (!entry || rev <= entry.reactionsRev || entry.base.deletedAt) return;
    entry.reactionsRev = rev;
    this.#setBase(entry, { ...entry.base, reactions });
  }

  bury(seqs: readonly number[]): void {
    for (const seq of seqs) {
      const entry = this.#entries.get(seq);
      if (entry && !entry.base.deletedAt) this.#setBase(entry, toTombstone(entry.base, this.#user));
    }
  }

  /** Call this if `show` may now return another result for these messages. */
  refresh(seqs: readonly number[]): void {
    for (const seq of seqs) {
      const entry = this.#entries.get(seq);
      if (entry) this.#setBase(entry, entry.base);
    }
  }

  /** Call `finishLoading` when the request has ended. */
  startLoading(): void {
    this.#kept = [];
  }

  finishLoading(): void {
    this.#kept = undefined;
  }

  /**
   * Adds a page, and applies the changes that have arrived since the page was read. Returns the messages of the page. If
   * there are now too many messages, those at the other end are dropped.
   */
  add(page: Page, direction?: Direction): readonly Message[] {
    const replaced = this.#entries;
    if (direction === 'latest') {
      this.#entries = new Map();
      this.#lastSeq = 0;
      this.hasNewer = false;
    }
    const [oldest = Number.POSITIVE_INFINITY] = this.#entries.keys();
    const isFirst = this.#entries.size === 0;
    const added = page.messages.filter(
      (message) =>
        this.#contains(message) &&
        (isFirst || (direction === 'newer' ? message.seq > this.#lastSeq : message.seq < oldest)),
    );
    const entries = added.map((message) => [message.seq, this.#createEntry(message, page.rev)] as const);
    this.#entries =
      direction === 'newer' ? new Map([...this.#entries, ...entries]) : new Map([...entries, ...this.#entries]);
    this.#snapshot = undefined;
    this.#lastSeq = Math.max(this.#lastSeq, added.at(-1)?.seq ?? 0);
    this.#newestSeq = Math.max(this.#newestSeq, this.#lastSeq);
    this.#move(page, direction);
    for (const change of this.#kept?.splice(0) ?? []) this.apply(change);
    this.#dropped.push(...this.#trim(direction === 'older' ? 'newer' : 'older'));
    if (direction === 'latest')
      for (const [seq, { shown }] of replaced) if (!this.#entries.has(seq)) this.#dropped.push(shown);
    return added.flatMap(({ seq }) => this.find(seq) ?? []);
  }

  /** Returns the messages that were dropped since the last call, after dropping the oldest if there are too many. */
  dropExcess(): readonly Message[] {
    if (!this.#kept) this.#dropped.push(...this.#trim('older'));
    return this.#dropped.splice(0);
  }

  #move({ messages, has_more, next }: Page, direction: Direction | undefined): void {
    const isAround = !direction && this.#options.around !== undefined;
    if (direction !== 'newer') {
      this.before = next?.before ?? messages[0]?.seq ?? this.before;
      this.hasOlder = isAround ? next?.before !== undefined : has_more;
    }
    if (direction === 'newer' || isAround) {
      this.#after = next?.after ?? messages.at(-1)?.seq ?? this.#after;
      this.hasNewer = isAround ? next?.after !== undefined : has_more;
    }
  }

  /** Drops messages at this end if there are more than `keep`. */
  #trim(end: Direction): Message[] {
    const excess = this.#entries.size - this.#options.connection.limits.keep;
    if (excess <= 0) return [];
    this.#snapshot = undefined;
    const dropped: Entry[] = [];
    if (end === 'newer') {
      const entries = [...this.#entries];
      dropped.push(...entries.splice(-excess).map(([, entry]) => entry));
      this.#entries = new Map(entries);
      this.#after = dropped[0]!.base.seq - 1;
      this.#lastSeq = this.#after;
      this.hasNewer = true;
    } else
      for (const [seq, entry] of this.#entries) {
        if (dropped.length === excess) break;
        this.#entries.delete(seq);
        dropped.push(entry);
        this.before = seq + 1;
        this.hasOlder = true;
      }
    return dropped.map(({ shown }) => shown);
  }

  get #user(): string | undefined {
    return this.#options.connection.claims?.user;
  }

  #markMine(payload: Reacted): ReactionCount[] {
    return keepMine(payload, this.findBase(payload.seq)?.reactions, this.#user);
  }

  #contains = ({ thread }: WireMessage) => thread === this.#options.thread;

  #append(entry: Entry): void {
    this.#lastSeq = entry.base.seq;
    this.#entries.set(this.#lastSeq, entry);
    this.#snapshot = undefined;
  }

  #createEntry(message: WireMessage, rev: number): Entry {
    const base = toMessage(message);
    return { base, shown: this.#options.show(base), reactionsRev: rev, repliesRev: rev };
  }

  #setReplies(seq: number, rev: number, replies: Message['replies']): void {
    const entry = this.#entries.get(seq);
    if (!entry || rev <= entry.repliesRev) return;
    entry.repliesRev = rev;
    this.#setBase(entry, { ...entry.base, replies });
  }

  /** If nothing visible changes, the object stays the same, and nothing is reported. */
  #setBase(entry: Entry, base: Message): void {
    entry.base = base;
    const shown = this.#options.show(base);
    if (JSON.stringify(shown) === JSON.stringify(entry.shown)) return;
    entry.shown = shown;
    this.#snapshot = undefined;
    this.#options.onChanged(shown);
  }
}
