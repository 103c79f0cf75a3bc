import { ChatClientError } from './errors.ts';
import { keepMine, type Message, mergeVersions, splitPayload, toMessage, toTombstone } from './message.ts';
import type { RoomConnection } from './room-connection.ts';
import type { ChangeEvent, ReactionCount, ReactionDelta, WireMessage } from './wire.ts';

/** By loading older pages, a list can grow to this multiple of `maxMessages`. */
const maxGrowthFactor = 10;
const defaultPageSize = 100;

export interface MessageListOptions {
  connection: RoomConnection;
  /** The room. */
  ref: number | string;
  /** The list contains the replies in this thread; without it, the messages that are not in a thread. */
  thread?: number | undefined;
  /** Where the newest page begins. 0 if the room has no messages; undefined if the newest `seq` is unknown. */
  before?: number | undefined;
  /** Returns the message with the changes that the user has made and the service has not acknowledged yet. */
  show(message: Message): Message;
  onChanged(message: Message): void;
}

interface Reacted {
  seq: number;
  reactions: ReactionCount[];
  changes?: readonly ReactionDelta[] | undefined;
}

interface Entry {
  /** The message as the service knows it. */
  base: Message;
  shown: Message;
  /** The position in the log up to which the reactions are known. Needed because reactions have no version. */
  reactionsRev: number;
  repliesRev: number;
}

/** The newest messages of a room or of a thread, in the order of `seq` and without a gap. */
export class MessageList {
  hasOlder = true;
  /** The `before` of the next older page. */
  before: number | undefined;
  readonly #options: MessageListOptions;
  #entries = new Map<number, Entry>();
  #newestSeq = 0;
  /** The number of messages that the list keeps. It grows when older pages are loaded. */
  #limit: number;
  /**
   * The changes that have arrived while an older page is being loaded. They may concern messages of the page. Meanwhile
   * no message is dropped: otherwise there would be a gap between the page and the oldest message.
   */
  #kept: ChangeEvent[] | undefined;
  /** The array that `messages` returns. It is created when it is read, so that many changes in a row need one copy. */
  #snapshot: readonly Message[] | undefined;
  #older: Promise<readonly Message[]> | undefined;

  constructor(options: MessageListOptions) {
    this.#options = options;
    this.#limit = options.connection.limits.maxMessages;
    this.before = options.before;
  }

  get messages(): readonly Message[] {
    this.#snapshot ??= Array.from(this.#entries.values(), ({ shown }) => shown);
    return this.#snapshot;
  }

  /**
   * Requests the page before the oldest message, and adds it. A page of a filtered history may be empty although older
   * messages exist; then the next page is requested. If `isWanted` returns false, `callback` is not called.
   */
  load(
    callback: (error: ChatClientError | undefined, messages: readonly Message[]) => void,
    isWanted: () => boolean,
    limit = defaultPageSize,
  ): void {
    const { before } = this;
    const { connection, ref: room_id, thread } = this.#options;
    const filter = thread === undefined ? { top_level: true as const } : { thread };
    connection.link!.request(
      'message:history',
      { room_id, limit, ...(before !== undefined && { before }), ...filter },
      (error, ack) => {
        if (!isWanted()) return;
        const messages = error ? [] : this.prepend(ack);
        if (error || messages.length > 0 || !this.hasOlder || this.before === before) callback(error, messages);
        else this.load(callback, isWanted, limit);
      },
      isWanted,
    );
  }

  /** Concurrent calls share one request. */
  loadOlder(limit?: number): Promise<readonly Message[]> {
    this.#older ??= new Promise<readonly Message[]>((resolve, reject) => {
      const { link, limits } = this.#options.connection;
      if (!this.hasOlder) return resolve([]);
      if (!link) throw new ChatClientError('UNREACHABLE', 'The client is not connected');
      if (this.#entries.size >= maxGrowthFactor * limits.maxMessages)
        throw new ChatClientError('LIMIT', `The room holds ${maxGrowthFactor} times maxMessages`);
      this.startLoading();
      this.load(
        (error, messages) => (error ? reject(error) : resolve(messages)),
        () => true,
        limit,
      );
    }).finally(() => {
      this.#older = undefined;
      this.finishLoading();
    });
    return this.#older;
  }

  find(seq: number): Message | undefined {
    return this.#entries.get(seq)?.shown;
  }

  /** The message as the service has it. */
  findBase(seq: number): Message | undefined {
    return this.#entries.get(seq)?.base;
  }

  /** Applies a change of the log. Returns the message if it is new in this list. */
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
    if (name === 'message:new' && this.#contains(message) && seq > this.#newestSeq) return this.#append(message, rev);
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

  /** Call this if `show` may now return something else. */
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
   * Adds an older page, and applies the changes that have arrived since the page was read. Returns the messages of the
   * page.
   */
  prepend(page: {
    messages: readonly WireMessage[];
    rev: number;
    has_more: boolean;
    next: { before?: number | undefined } | null;
  }) {
    const [oldest = Number.POSITIVE_INFINITY] = this.#entries.keys();
    const added = page.messages.filter((message) => this.#contains(message) && message.seq < oldest);
    const entries = added.map((message) => [message.seq, this.#createEntry(message, page.rev)] as const);
    this.#entries = new Map([...entries, ...this.#entries]);
    this.#snapshot = undefined;
    this.#newestSeq = Math.max(this.#newestSeq, added.at(-1)?.seq ?? 0);
    this.before = page.next?.before ?? page.messages[0]?.seq ?? this.before;
    this.hasOlder = page.has_more;
    for (const change of this.#kept?.splice(0) ?? []) this.apply(change);
    if (this.#kept) this.#limit = Math.max(this.#limit, this.#entries.size);
    else this.dropExcess();
    return added.flatMap(({ seq }) => this.find(seq) ?? []);
  }

  /** Drops the oldest messages if there are too many. Returns the dropped messages. */
  dropExcess(): readonly Message[] {
    const dropped: Message[] = [];
    for (const [seq, { shown }] of this.#entries) {
      if (this.#kept || this.#entries.size <= this.#limit) break;
      this.#entries.delete(seq);
      dropped.push(shown);
      this.before = seq + 1;
      this.hasOlder = true;
      this.#snapshot = undefined;
    }
    return dropped;
  }

  get #user(): string | undefined {
    return this.#options.connection.claims?.user;
  }

  #markMine(payload: Reacted): ReactionCount[] {
    return keepMine(payload, this.findBase(payload.seq)?.reactions, this.#user);
  }

  #contains = ({ thread }: WireMessage) => thread === this.#options.thread;

  #append(message: WireMessage, rev: number): Message {
    const entry = this.#createEntry(message, rev);
    this.#entries.set(message.seq, entry);
    this.#newestSeq = message.seq;
    this.#snapshot = undefined;
    return entry.shown;
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
