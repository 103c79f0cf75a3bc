import { type Actor, authorize, type Decision } from '../../core/authorization.ts';
import type { RoomId, Uuid } from '../../core/ids.ts';
import type { InboxItem, ListedRoom, RoomListItem } from '../../core/inbox-item.ts';
import { type RoomRow, toSnapshot } from '../../core/log/room-log-statements.ts';
import type { RoomSnapshot } from '../../core/log/room-snapshot.ts';
import type { Statement, Store } from '../../database/store.ts';
import { toListItem } from '../rooms/list-item.ts';

const itemsStatement: Statement = {
  name: 'inbox_items',
  isReadOnly: true,
  text: `select o_room as room from inbox_items($1::bigint[], $2::int[], $3::int[], $4::uuid[], $5::int[], $6::int[],
    $7::uuid[], $8::uuid[])`,
};

/** What a user has read in a room; a count is null if it has to be computed from `recent` or `mentioned`. */
type PersonRow = [
  readSeq: number,
  version: number,
  muted: boolean,
  unread: number | null,
  hiddenSeq: number | null,
  hiddenUnread: number | null,
  mentions: number | null,
];

interface LastMessageRow {
  seq: number;
  emitter: Uuid;
  content: string;
  custom: string | null;
  at: number;
  updated: number;
  edited: number | null;
}

interface ItemRow extends RoomRow {
  active: number;
  last: LastMessageRow | null;
  recent: [seq: number, emitter: Uuid][] | null;
  mentioned: [grantee: Uuid, seq: number, emitter: Uuid][] | null;
  people: PersonRow[];
}

/** A user for whom an item is read. */
export interface Reader {
  user: Uuid;
  entity: Uuid | null;
}

/** A consistent snapshot of a room, of the rules of its readers, and of what they have read. */
export class RoomReading {
  readonly id: RoomId;
  readonly #row: ItemRow;
  readonly #snapshot: Pick<RoomSnapshot, 'room' | 'rules'>;
  readonly #people: ReadonlyMap<Uuid, PersonRow>;
  readonly #grantees: ReadonlySet<Uuid | null>;
  readonly #mentions: ReadonlyMap<Uuid, NonNullable<ItemRow['mentioned']>>;
  readonly #entities: ReadonlyMap<Uuid, Uuid | null>;

  constructor(row: ItemRow, readers: Iterable<Reader>) {
    this.id = row.id;
    this.#row = row;
    this.#snapshot = toSnapshot(row);
    this.#people = new Map([...readers].map(({ user }, n) => [user, row.people[n]!]));
    this.#entities = new Map([...readers].map(({ user, entity }) => [user, entity]));
    this.#mentions = Map.groupBy(row.mentioned ?? [], ([grantee]) => grantee);
    this.#grantees = new Set([row.entity_owner, ...row.rules.map(({ entity_UUID }) => entity_UUID)]);
  }

  /** Whether the room still concerns the grantee, because of a rule or because they own it. */
  concerns(grantee: Uuid): boolean {
    return this.#grantees.has(grantee);
  }

  decide(actor: Actor): Decision {
    const { room, rules } = this.#snapshot;
    return authorize(actor, room, rules);
  }

  /** Returns undefined if the actor cannot read the room. */
  toItem(actor: Actor): InboxItem | undefined {
    if (!this.decide(actor).rights.includes('r')) return undefined;
    const listed = toListItem(this.#snapshot, actor, undefined);
    return listed && { ...listed, ...this.#toInboxFields(actor) };
  }

  /** Like `toItem`, but for lists of rooms. These also contain rooms that the actor can enter, but not read. */
  toListed(actor: Actor): ListedRoom | undefined {
    return this.toItem(actor) ?? toListItem(this.#snapshot, actor, undefined);
  }

  #toInboxFields({ user }: Actor): Omit<InboxItem, keyof RoomListItem> {
    const { active, last, rules } = this.#row;
    const [readSeq, version, muted, unread, hiddenSeq, hiddenUnread, mentions] = this.#people.get(user)!;
    const ownRule = rules.find(({ entity_UUID }) => entity_UUID === user);
    return {
      activityAt: toDate(Math.max(active, ownRule?.created ?? 0)),
      read_seq: readSeq,
      version,
      unread: unread ?? this.#countUnread(user, readSeq),
      unread_mentions: mentions ?? this.#countMentions(user, readSeq),
      muted,
      hidden: hiddenSeq !== null && (hiddenUnread ?? this.#countUnread(user, hiddenSeq)) === 0,
      last_message: last && toLastMessage(last),
    };
  }

  /** Counts in the same way as the SQL function `count_unread`. */
  #countUnread(user: Uuid, after: number): number {
    const { last_seq, recent } = this.#row;
    if (last_seq - after > 500) return 100;
    let count = 0;
    for (const [seq, emitter] of recent ?? []) if (seq > after && emitter !== user) count += 1;
    return Math.min(count, 100);
  }

  /** Counts in the same way as the SQL function `count_mentions`. */
  #countMentions(user: Uuid, after: number): number {
    const seqs = new Set<number>();
    for (const grantee of [user, this.#entities.get(user), everybody]) {
      for (const [, seq, emitter] of this.#mentions.get(grantee ?? '') ?? []) {
        if (seq > after && emitter !== user) seqs.add(seq);
      }
    }
    return Math.min(seqs.size, 100);
  }
}

/** A mention of everybody is stored under this ID, in place of the ID of a user or organisation. */
const everybody = '00000000-0000-0000-0000-000000000000';

const toDate = (ms: number) => new Date(ms).toISOString();

function toLastMessage({ seq, emitter, content, custom, at, updated, edited }: LastMessageRow) {
  return {
    ...{ seq, emitter, content },
    ...(custom !== null && { custom: JSON.parse(custom) as Record<string, unknown> }),
    createdAt: toDate(at),
    updatedAt: toDate(updated),
    ...(edited !== null && { editedAt: toDate(edited) }),
  };
}

/**
 * Reads all rooms in one statement, so nothing in the result is newer than the rules in it. The result has no entry for
 * rooms that do not exist.
 */
export async function readItems(
  store: Pick<Store, 'query'>,
  wanted: ReadonlyMap<RoomId, readonly Reader[]>,
): Promise<Map<RoomId, RoomReading>> {
  const columns = {
    granteesFrom: [] as number[],
    granteesTo: [] as number[],
    grantees: [] as Uuid[],
    readersFrom: [] as number[],
    readersTo: [] as number[],
    readers: [] as Reader[],
  };
  const readersByRoom = new Map<RoomId, Reader[]>();
  for (const [room, all] of wanted) {
    const readers = [...new Map(all.map((reader) => [reader.user, reader])).values()];
    readersByRoom.set(room, readers);
    columns.granteesFrom.push(columns.grantees.length + 1);
    const grantees = new Set(readers.flatMap(({ user, entity }) => (entity === null ? [user] : [user, entity])));
    columns.grantees.push(...grantees);
    columns.granteesTo.push(columns.grantees.length);
    columns.readersFrom.push(columns.readers.length + 1);
    columns.readers.push(...readers);
    columns.readersTo.push(columns.readers.length);
  }
  const rows = await store.query<{ room: ItemRow }>(itemsStatement, [
    [...wanted.keys()],
    columns.granteesFrom,
    columns.granteesTo,
    columns.grantees,
    columns.readersFrom,
    columns.readersTo,
    columns.readers.map(({ user }) => user),
    columns.readers.map(({ entity }) => entity),
  ]);
  return new Map(rows.map(({ room }) => [room.id, new RoomReading(room, readersByRoom.get(room.id)!)]));
}
