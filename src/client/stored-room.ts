import { defaults, type Message } from './message.ts';
import type { MessageList } from './message-list.ts';
import type { Room } from './room.ts';
import type { Records, StorageOp } from './storage-records.ts';
import type { WireMessage } from './wire.ts';

/** How many messages of a room are stored. */
const tailLength = 200;

/** A join that is refused because of a limit leaves the right to read as it is. */
const isLimit = (code: string | undefined) => code === 'TOO_MANY_ROOMS';

interface Written {
  /** The message as it was written. Undefined if it only has to be deleted. */
  message: Message | undefined;
  /** The `seq` of the message before it; 0 if it is the first one, undefined if that is unknown. */
  prev: number | undefined;
}

export const roomGroup = (id: number): string => `room:${id}/`;

/**
 * Stores the newest messages of a room, and its position in the log.
 *
 * Several tabs may write the same room, each with its own position in the log. A message is written with the `rev` up to
 * which the tab knows all its changes, and the greater one wins, so a stored message has all changes up to the greatest
 * position that was written. Each message names the one before it, so reading from the newest one backwards finds no gap,
 * whatever other tabs have deleted. The position is written last and only forward, and names the newest message; if that
 * is not stored, the room counts as not stored.
 */
export class StoredRoom {
  readonly room: Room;
  readonly #records: Records;
  /** By their `seq`. */
  #written = new Map<number, Written>();
  #position = '';
  /** The list that was written last. */
  #list: MessageList | undefined;
  /** Whether the user may read the room, as far as is known. */
  #isMember = false;

  constructor(room: Room, records: Records) {
    this.room = room;
    this.#records = records;
  }

  get group(): string | undefined {
    return this.room.info && roomGroup(this.room.info.id);
  }

  /** Call this after each change: the connection may be lost before the change is written. */
  observe(): void {
    if (this.room.state === 'joined') this.#isMember = true;
  }

  /** Call this if the records of the room were deleted. If the room is still used, it will be written again. */
  forget(): void {
    this.#written.clear();
    this.#position = '';
  }

  /** Shows what is stored. Returns the group to delete if it is damaged. */
  restore(): string | undefined {
    const { room } = this;
    if (room.timeline) return;
    const ref = String(room.ref).toLowerCase();
    const group = roomGroup(Number(ref) || Number(this.#records.get(`alias/${ref}`)?.value));
    const position = this.#records.get(`${group}position`);
    if (!position) return;
    try {
      const { cursor, last, info, rights } = JSON.parse(position.value);
      const messages: WireMessage[] = [];
      const written = new Map<number, Written>();
      let prev: number | undefined = last;
      while (prev && messages.length < tailLength) {
        const record = this.#records.get(`${group}message:${prev}`);
        if (!record) break;
        const stored = JSON.parse(record.value);
        if (stored.message.seq !== prev) return group;
        messages.unshift(stored.message);
        prev = stored.prev as number | undefined;
        written.set(stored.message.seq, { message: undefined, prev });
      }
      if (last > 0 && messages.length === 0) return group;
      room.restore({ cursor, rev: position.version, info, rights, messages, hasOlder: prev !== 0 });
      for (const [seq, entry] of written) entry.message = room.list!.findBase(seq);
      this.#written = written;
      this.#list = room.list;
      // What is not connected to the newest message is deleted at the next change.
      for (const { key } of this.#records.list(group)) {
        const seq = Number(key.split('message:')[1]);
        if (seq < last && !written.has(seq)) written.set(seq, { message: undefined, prev: undefined });
      }
    } catch {
      return group;
    }
  }

  /** Returns what has to be written. Call `forget` if it cannot be written. */
  collect(): StorageOp[] {
    const { timeline, state, error, info, rights } = this.room;
    const { group } = this;
    if (!group || !timeline) return [];
    if (state === 'removed' || (state === 'rejected' && !isLimit(error?.code))) {
      this.#isMember = false;
      this.forget();
      return [{ delete: group }];
    }
    const { rev, cursor, list } = timeline;
    const { messages } = list;
    // Without the newest messages, the stored ones would have a gap.
    if (!this.#isMember || list.hasNewer || (messages.length === 0 && list.hasOlder)) return [];
    const ops: StorageOp[] = [];
    if (list !== this.#list && rev < (this.#records.get(`${group}position`)?.version ?? 0)) {
      // The service was restored from a backup, so the stored position does not exist any more.
      ops.push({ delete: group });
      this.forget();
    }
    this.#list = list;
    this.#collectMessages(ops, group, list, rev);
    const value = { cursor, last: messages.at(-1)?.seq ?? 0, info, rights };
    const position = JSON.stringify(value);
    if (position === this.#position) return ops;
    if (!this.#position)
      for (const ref of new Set([info!.uuid, String(this.room.ref).toLowerCase()]))
        ops.push({ put: { key: `alias/${ref}`, version: Date.now(), value: String(info!.id) } });
    this.#position = position;
    ops.push({
      put: { key: `${group}position`, version: rev, value: JSON.stringify({ ...value, at: Date.now() }) },
    });
    return ops;
  }

  #collectMessages(ops: StorageOp[], group: string, list: MessageList, rev: number): void {
    const { messages } = list;
    const seqs = new Set<number>();
    for (let n = Math.max(0, messages.length - tailLength); n < messages.length; n++) {
      const { seq } = messages[n]!;
      const message = list.findBase(seq)!;
      const prev = n > 0 ? messages[n - 1]!.seq : list.hasOlder ? undefined : 0;
      const written = this.#written.get(seq);
      seqs.add(seq);
      if (written?.message === message && (written.prev !== undefined || prev === undefined)) continue;
      this.#written.set(seq, { message, prev });
      const value = JSON.stringify({ message: compact(message), prev });
      ops.push({ put: { key: `${group}message:${seq}`, version: rev, value } });
    }
    for (const seq of this.#written.keys()) {
      if (seqs.has(seq)) continue;
      this.#written.delete(seq);
      ops.push({ delete: `${group}message:${seq}` });
    }
  }
}

/** Leaves out what `toMessage` adds. */
const compact = (message: Message) =>
  Object.fromEntries(
    Object.entries(message).filter(
      ([name, value]) => JSON.stringify(value) !== JSON.stringify(defaults[name as keyof typeof defaults]),
    ),
  );
