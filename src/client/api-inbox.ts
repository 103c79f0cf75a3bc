import type { ChatClientError } from './errors.ts';
import type { InboxItem, ServerEventPayloads } from './wire.ts';

export interface InboxEvents {
  /** Emitted after `snapshot` has changed. Changes in quick succession cause only one event. */
  change: undefined;
  /** A room is new in the inbox, or its item has changed. */
  changed: InboxItem;
  removed: ServerEventPayloads['inbox:removed'];
}

/** What a view shows of the inbox. A snapshot never changes: each change creates a new object. */
export interface InboxSnapshot extends Pick<Inbox, 'state' | 'error' | 'rooms' | 'unreadRooms' | 'hasMore'> {}

/** A live list of all rooms of the user. The user need not join the rooms. */
export interface Inbox {
  /** The inbox as it is now: the same object until something changes. */
  readonly snapshot: InboxSnapshot;
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
