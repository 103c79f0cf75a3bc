import type { Client } from './api.ts';
import { computeBackoffMs } from './connection.ts';
import { Emitter } from './emitter.ts';
import { ChatClientError } from './errors.ts';
import type { ClientHost } from './host.ts';
import type { InboxItem, ServerEventPayloads } from './wire.ts';

export type { InboxItem } from './wire.ts';

export interface InboxEvents {
  /** Emitted after any property of the inbox has changed. Changes in quick succession cause only one event. */
  update: undefined;
  /** A room is new in the inbox, or its item has changed. */
  changed: InboxItem;
  removed: ServerEventPayloads['inbox:removed'];
}

/** A live list of all rooms of the user. The user need not join the rooms. */
export interface Inbox {
  /**
   * `opening`: the rooms are not loaded yet, or the connection is lost and the client reconnects by itself. `failed`:
   * see `error`.
   */
  readonly state: 'opening' | 'open' | 'failed' | 'closed';
  readonly error: ChatClientError | undefined;
  /** The loaded rooms, the most recently active first, without hidden ones. Each change creates a new array. */
  readonly rooms: readonly InboxItem[];
  /** The ids of all rooms with unread messages, loaded or not. When the inbox opens, it contains up to 100 of them. */
  readonly unreadRooms: ReadonlySet<number>;
  readonly hasMore: boolean;
  /** Loads the next rooms. */
  loadMore(limit?: number): Promise<readonly InboxItem[]>;
  on<E extends keyof InboxEvents>(event: E, listener: (payload: InboxEvents[E]) => void): () => void;
  close(): void;
}

const defaultLimit = 50;
const maxLimit = 200;

/** Opens the inbox of the client's user, now and after every reconnect. A client has one inbox. */
export function inbox(client: Client, { limit = defaultLimit }: { limit?: number } = {}): Inbox {
  return new ClientInbox(client as unknown as ClientHost, limit);
}

/** The order of the list: later activity first, then the greater id. */
const compareItems = (a: InboxItem, b: InboxItem) =>
  a.activityAt === b.activityAt ? b.id - a.id : a.activityAt < b.activityAt ? 1 : -1;

const isUnread = ({ unread, unread_mentions, muted, hidden }: InboxItem) =>
  !hidden && (unread_mentions > 0 || (unread > 0 && !muted));

class ClientInbox implements Inbox {
  state: Inbox['state'] = 'opening';
  error: ChatClientError | undefined;
  unreadRooms: ReadonlySet<number> = new Set();
  readonly #host: ClientHost;
  readonly #limit: number;
  readonly #emitter = new Emitter<InboxEvents>();
  readonly #detach: () => void;
  #items = new Map<number, InboxItem>();
  /** Where the next page begins; null if all rooms are loaded. */
  #next: string | null = null;
  /**
   * The last loaded item. Rooms after it are not listed, even if their items have arrived, because the rooms in between
   * are not loaded yet.
   */
  #end: InboxItem | undefined;
  /** Identifies the latest opening. Answers to earlier ones, and to their pages, are ignored. */
  #opening: object = {};
  #failures = 0;
  #page: Promise<readonly InboxItem[]> | undefined;
  #snapshot: readonly InboxItem[] | undefined;

  constructor(host: ClientHost, limit: number) {
    this.#host = host;
    this.#limit = limit;
    this.#detach = host.attach({
      onConnect: () => this.#open(),
      onDisconnect: () => this.#setState('opening'),
      onEvent: (name, payload) => this.#handleEvent(name, payload),
      onClose: () => this.close(),
    });
    this.#open();
  }

  get rooms(): readonly InboxItem[] {
    this.#snapshot ??= [...this.#items.values()].filter((item) => this.#isListed(item)).sort(compareItems);
    return this.#snapshot;
  }

  get hasMore(): boolean {
    return this.#next !== null;
  }

  on<E extends keyof InboxEvents>(event: E, listener: (payload: InboxEvents[E]) => void): () => void {
    return this.#emitter.on(event, listener);
  }

  loadMore(limit = defaultLimit): Promise<readonly InboxItem[]> {
    this.#page ??= this.#loadMore(limit).finally(() => {
      this.#page = undefined;
    });
    return this.#page;
  }

  close(): void {
    if (this.state === 'closed') return;
    this.#detach();
    this.#opening = {};
    this.#setState('closed');
    this.#host.connection.link?.request('inbox:close', {}, () => {});
  }

  #open(): void {
    const { link, timeouts } = this.#host.connection;
    if (!link || this.state === 'closed') return;
    const opening = {};
    this.#opening = opening;
    this.#setState('opening');
    // After a reconnect, loads at least as many rooms as before.
    const limit = Math.min(maxLimit, Math.max(this.#limit, this.rooms.length));
    const isWanted = () => opening === this.#opening;
    link.request(
      'inbox:open',
      { limit },
      (error, ack) => {
        if (!isWanted() || error?.isConnectionLoss) return;
        if (error?.isRetryable) {
          const delayMs = error.retryAfterMs ?? computeBackoffMs(this.#failures++, timeouts);
          setTimeout(() => isWanted() && this.#open(), delayMs);
          return;
        }
        this.error = error;
        if (error) return this.#setState('failed');
        this.#failures = 0;
        this.#items.clear();
        this.unreadRooms = new Set(ack.unread_rooms);
        this.#addPage(ack);
        this.#setState('open');
      },
      isWanted,
    );
  }

  async #loadMore(limit: number): Promise<readonly InboxItem[]> {
    const { link } = this.#host.connection;
    const opening = this.#opening;
    if (!link || this.state !== 'open') throw new ChatClientError('UNREACHABLE', 'The inbox is not open');
    if (this.#next === null) return [];
    const page = { after: this.#next, limit: Math.min(limit, maxLimit) };
    const items = await new Promise<readonly InboxItem[]>((resolve, reject) => {
      link.request('inbox:page', page, (error, ack) => {
        if (error) return reject(error);
        if (opening === this.#opening) this.#addPage(ack);
        resolve(opening === this.#opening ? ack.rooms : []);
      });
    });
    return items.length === 0 && this.state === 'open' ? this.#loadMore(limit) : items;
  }

  #addPage({ rooms, next }: { rooms: InboxItem[]; next: string | null }): void {
    for (const item of rooms) this.#set(item);
    this.#end = rooms.at(-1) ?? this.#end;
    this.#next = next;
    this.#emitUpdate();
  }

  #handleEvent(name: string, payload: unknown): void {
    if (name === 'inbox:changed') {
      for (const item of (payload as ServerEventPayloads['inbox:changed']).items) {
        this.#set(item);
        this.#emitter.emit('changed', item);
      }
    } else if (name === 'inbox:removed') {
      const removed = payload as ServerEventPayloads['inbox:removed'];
      this.#items.delete(removed.room_id);
      this.#setUnread(removed.room_id, false);
      this.#emitter.emit('removed', removed);
    } else if (name === 'inbox:reset') this.#open();
    else return;
    this.#emitUpdate();
  }

  #set(item: InboxItem): void {
    this.#items.set(item.id, item);
    this.#setUnread(item.id, isUnread(item));
  }

  #setUnread(id: number, isUnread: boolean): void {
    if (this.unreadRooms.has(id) === isUnread) return;
    const others = [...this.unreadRooms].filter((other) => other !== id);
    this.unreadRooms = new Set(isUnread ? [...others, id] : others);
  }

  #isListed = (item: InboxItem) =>
    !item.hidden && (this.#next === null || (this.#end !== undefined && compareItems(item, this.#end) <= 0));

  #setState(state: Inbox['state']): void {
    this.state = state;
    this.#emitUpdate();
  }

  #emitUpdate(): void {
    this.#snapshot = undefined;
    this.#emitter.emitDeferred('update', undefined);
  }
}
