import type { Inbox, InboxEvents, InboxSnapshot } from './api-inbox.ts';
import { Backoff } from './backoff.ts';
import { ChatClientError } from './errors.ts';
import type { ClientHost, ClientPart, HostRoom } from './host.ts';
import { type Mark, moveMark, type Personal } from './reads.ts';
import { keepEqual, Store } from './store.ts';
import type { InboxItem, ServerEventPayloads } from './wire.ts';

export const defaultLimit = 50;
const maxLimit = 200;

/** The order of the list: later activity first, then the greater id. */
const compareItems = (a: InboxItem, b: InboxItem) =>
  a.activityAt === b.activityAt ? b.id - a.id : a.activityAt < b.activityAt ? 1 : -1;

const isUnread = ({ unread, unread_mentions, muted, hidden }: InboxItem) =>
  !hidden && (unread_mentions > 0 || (unread > 0 && !muted));

/** The fields that `version` belongs to. */
const ownState = ({ read_seq, version, unread, unread_mentions, muted, hidden }: InboxItem) => ({
  ...{ read_seq, version, unread, unread_mentions, muted, hidden },
});

/**
 * How the item looks when the service has acknowledged the mark. The client does not know which messages count as unread,
 * so it shows no more than there can be, and at least one after the user has marked the room as unread.
 */
function showMark(item: InboxItem, mark: Mark): InboxItem {
  const read_seq = moveMark(item.read_seq, mark);
  const max = Math.max(0, item.last_seq - read_seq);
  const min = read_seq < item.read_seq ? 1 : 0;
  return {
    ...{ ...item, read_seq },
    unread: Math.min(Math.max(item.unread, min), max),
    unread_mentions: Math.min(item.unread_mentions, max),
  };
}

export class ClientInbox extends Store<InboxEvents, InboxSnapshot> implements Inbox, ClientPart {
  state: Inbox['state'] = 'opening';
  error: ChatClientError | undefined;
  unreadRooms: ReadonlySet<number> = new Set();
  readonly #host: ClientHost;
  readonly #limit: number;
  #detach: (() => void) | undefined;
  readonly #backoff: Backoff;
  /** The items as the service knows them. */
  #items = new Map<number, InboxItem>();
  /** The items with the user's own marks and settings. */
  #shown = new Map<number, InboxItem>();
  /** Where the next page begins; null if all rooms are loaded. */
  #next: string | null = null;
  /**
   * The last loaded item. Rooms after it are not listed, even if their items have arrived, because the rooms in between
   * are not loaded yet.
   */
  #end: InboxItem | undefined;
  /** Identifies the latest opening. Answers to earlier ones, and to their pages, are ignored. */
  #opening: object = {};
  #page: Promise<readonly InboxItem[]> | undefined;
  #rooms: readonly InboxItem[] = [];
  #areRoomsCurrent = true;

  constructor(host: ClientHost, limit: number) {
    super();
    this.#host = host;
    this.#limit = limit;
    this.#backoff = new Backoff(host.connection.limits);
    if (host.connection.state === 'closed') this.state = 'closed';
  }

  open(): void {
    if (!this.#detach) this.startNow();
  }

  protected override start(): void {
    if (this.#host.connection.state === 'closed') this.close();
    if (this.state === 'closed') return;
    this.#detach = this.#host.attach(this);
    this.onConnect();
  }

  get rooms(): readonly InboxItem[] {
    if (!this.#areRoomsCurrent) {
      const rooms = [...this.#shown.values()].filter((item) => this.#isListed(item)).sort(compareItems);
      const before = this.#rooms;
      if (before.length !== rooms.length || before.some((item, n) => item !== rooms[n])) this.#rooms = rooms;
      this.#areRoomsCurrent = true;
    }
    return this.#rooms;
  }

  protected createSnapshot(): InboxSnapshot {
    const { state, error, rooms, unreadRooms, hasMore } = this;
    return { state, error, rooms, unreadRooms, hasMore };
  }

  get hasMore(): boolean {
    return this.#next !== null;
  }

  loadMore(limit = defaultLimit): Promise<readonly InboxItem[]> {
    this.#page ??= this.#loadMore(limit).finally(() => {
      this.#page = undefined;
    });
    return this.#page;
  }

  close(): void {
    if (this.state === 'closed') return;
    this.#detach?.();
    this.#backoff.stop();
    this.#opening = {};
    this.#setState('closed');
    this.#host.connection.link?.request('inbox:close', {}, () => {});
  }

  /** Shows rooms of an earlier client until the inbox is open. */
  restore(rooms: readonly InboxItem[], unread: readonly number[]): void {
    if (this.#items.size > 0) return;
    for (const item of rooms) this.#set(item);
    this.unreadRooms = new Set(unread);
    this.#handleChange();
  }

  onConnect(): void {
    const { link } = this.#host.connection;
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
        if (error?.isRetryable) return this.#backoff.wait(() => isWanted() && this.onConnect(), error.retryAfterMs);
        this.error = error;
        if (error) return this.#setState('failed');
        this.#backoff.reset();
        this.#items.clear();
        const listed = new Set(ack.rooms.map(({ id }) => id));
        for (const id of this.#shown.keys()) if (!listed.has(id)) this.#shown.delete(id);
        const unread = new Set(ack.unread_rooms);
        if (unread.size !== this.unreadRooms.size || [...unread].some((id) => !this.unreadRooms.has(id)))
          this.unreadRooms = unread;
        this.#addPage(ack);
        this.#setState('open');
      },
      isWanted,
    );
  }

  onDisconnect(): void {
    this.#setState('opening');
  }

  onEvent(name: string, payload: never): void {
    if (name === 'inbox:changed') {
      for (const item of (payload as ServerEventPayloads['inbox:changed']).items) this.emit('changed', this.#set(item));
    } else if (name === 'inbox:removed') {
      const removed = payload as ServerEventPayloads['inbox:removed'];
      this.#items.delete(removed.room_id);
      this.#shown.delete(removed.room_id);
      this.#setUnread(removed.room_id, false);
      this.emit('removed', removed);
    } else if (name === 'inbox:reset') this.onConnect();
    else return;
    this.#handleChange();
  }

  onOwnState(room: HostRoom, ack?: object): void {
    const item = [...this.#items.values()].find((each) => isSameRoom(room, each));
    if (!item) return;
    const before = this.#shown.get(item.id);
    const { ok: _, ...state } = (ack ?? {}) as { ok?: true; version?: number };
    // The service may store a mark and a setting together, with the same version; each answer has only its own fields.
    const shown = this.#set(state.version! >= item.version ? { ...item, ...state } : item);
    if (JSON.stringify(shown) === JSON.stringify(before)) return;
    this.emit('changed', shown);
    this.#handleChange();
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
        resolve(opening === this.#opening ? this.#addPage(ack) : []);
      });
    });
    return items.length === 0 && this.state === 'open' ? this.#loadMore(limit) : items;
  }

  #addPage({ rooms, next }: { rooms: InboxItem[]; next: string | null }): InboxItem[] {
    const shown = rooms.map((item) => this.#set(item));
    this.#end = rooms.at(-1) ?? this.#end;
    this.#next = next;
    this.#handleChange();
    return shown;
  }

  /** Returns the item as it is shown. */
  #set(received: InboxItem): InboxItem {
    const known = this.#items.get(received.id);
    // What the service has acknowledged may be newer than the item.
    const item = known && known.version > received.version ? { ...received, ...ownState(known) } : received;
    this.#items.set(item.id, item);
    let shown = item;
    for (const room of this.#host.rooms.values())
      if (isSameRoom(room, item))
        for (const { action } of room.queue.changes) {
          if (action.key === 'mark') shown = showMark(shown, action as unknown as Mark);
          if (action.key === 'personal') shown = { ...shown, ...(action as unknown as Personal).settings };
        }
    shown = keepEqual(this.#shown.get(item.id) ?? shown, shown);
    this.#shown.set(item.id, shown);
    this.#setUnread(item.id, isUnread(shown));
    return shown;
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
    this.#handleChange();
  }

  #handleChange(): void {
    this.#areRoomsCurrent = false;
    this.changed();
  }
}

const isSameRoom = ({ id, ref }: HostRoom, item: InboxItem) =>
  id === item.id || String(ref).toLowerCase() === item.uuid;
