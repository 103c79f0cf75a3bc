import type { ClientInbox } from './client-inbox.ts';
import type { Records, StorageOp } from './storage-records.ts';
import type { InboxItem } from './wire.ts';

const group = 'inbox/';
const unreadKey = 'unread/rooms';

/** Stores the rooms that an inbox lists. What is stored is only shown until the inbox is open, so the last writer wins. */
export class StoredInbox {
  /** Undefined, because it is never deleted to make room. */
  declare readonly group: undefined;
  readonly #inbox: ClientInbox;
  readonly #records: Records;
  #written = new Map<number, InboxItem>();
  #unread: ReadonlySet<number> | undefined;
  #wasOpen = false;

  constructor(inbox: ClientInbox, records: Records) {
    this.#inbox = inbox;
    this.#records = records;
  }

  /** Shows what is stored, unless the inbox shows something. Returns the group to delete if it is damaged. */
  restore(): string | undefined {
    const items = this.#records.list(group);
    if (items.length === 0 || this.#inbox.rooms.length > 0) return;
    try {
      const unread = JSON.parse(this.#records.get(unreadKey)?.value ?? '[]');
      this.#inbox.restore(
        items.map(({ value }) => JSON.parse(value)),
        unread,
      );
    } catch {
      return group;
    }
  }

  /** Call this after each change: the connection may be lost before the change is written. */
  observe(): void {
    if (this.#inbox.state === 'open') this.#wasOpen = true;
  }

  forget(): void {
    this.#written.clear();
    this.#unread = undefined;
  }

  collect(): StorageOp[] {
    const { rooms, unreadRooms } = this.#inbox;
    if (!this.#wasOpen) return [];
    const ops: StorageOp[] = [];
    const listed = new Map(rooms.map((item) => [item.id, item]));
    for (const [id, item] of listed)
      if (this.#written.get(id) !== item)
        ops.push({ put: { key: group + id, version: 0, value: JSON.stringify(item) } });
    for (const { key } of this.#records.list(group))
      if (!listed.has(Number(key.slice(group.length)))) ops.push({ delete: key });
    if (this.#unread !== unreadRooms)
      ops.push({ put: { key: unreadKey, version: 0, value: JSON.stringify([...unreadRooms]) } });
    this.#written = listed;
    this.#unread = unreadRooms;
    return ops;
  }
}
