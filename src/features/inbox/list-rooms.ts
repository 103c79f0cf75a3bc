import { type Actor, authorize, type RoomOwnership } from '../../core/authorization.ts';
import type { RoomId, Uuid } from '../../core/ids.ts';
import { formatInboxCursor, type InboxPosition, type ListedRoom } from '../../core/inbox-item.ts';
import type { RoomRow } from '../../core/log/room-row.ts';
import type { RoomType } from '../../core/room.ts';
import type { Statement, Store } from '../../database/store.ts';
import { readItems } from './read-items.ts';
import type { RoomReading } from './room-reading.ts';

const roomsStatement: Statement = {
  name: 'inbox_rooms',
  text: 'select o_rooms as rooms from inbox_rooms($1::uuid, $2::uuid, $3::float8, $4::boolean)',
};

type RuleRow = RoomRow['rules'][number];

type ListRow = [
  id: RoomId,
  activityAt: number,
  type: RoomType,
  levelAdmin: number,
  userOwner: Uuid,
  entityOwner: Uuid | null,
  ownRule: RuleRow | null,
  entityRule: RuleRow | null,
  isHidden: boolean,
  hasUnread: boolean,
];

interface ListQuery {
  limit: number;
  after?: InboxPosition | null | undefined;
  /** Whether hidden rooms are included. */
  hidden: boolean;
  /** Whether to find the rooms with unread messages. */
  withUnread: boolean;
  /**
   * Selects the rooms in which the actor has at least one of these rights: `r` for the rooms that they can read, `rw`
   * for all that they can enter.
   */
  rights: 'r' | 'rw';
}

interface RoomList<Item> {
  rooms: Item[];
  next: string | null;
  unread_rooms: RoomId[];
  /** The rooms with a rule of the user. */
  ownRooms: RoomId[];
}

const maxUnreadRooms = 100;
const maxPageBytes = 256 * 1024;

/** Reads a page of the actor's rooms in the order of their activity. */
export async function listInboxRooms<Item extends ListedRoom>(
  store: Pick<Store, 'query'>,
  actor: Actor,
  { limit, after, hidden, withUnread, rights }: ListQuery,
  toItem: (reading: RoomReading) => Item | undefined,
): Promise<RoomList<Item>> {
  const values = [actor.user, actor.entity, actor.level, withUnread];
  const [row] = await store.query<{ rooms: ListRow[] | null }>(roomsStatement, values);
  const all = row?.rooms ?? [];
  const unread: RoomId[] = [];
  const page: InboxPosition[] = [];
  let hasMore = false;
  for (const listed of all) {
    const [room_id, at, , , , , , , isHidden, hasUnread] = listed;
    if (isHidden && !hidden) continue;
    const granted = authorizeRow(actor, listed);
    if (hasUnread && unread.length < maxUnreadRooms && granted.includes('r')) unread.push(room_id);
    const isBefore = after && (at > after.at || (at === after.at && room_id >= after.room_id));
    if (isBefore || ![...rights].some((letter) => granted.includes(letter))) continue;
    if (page.length < limit) page.push({ room_id, at });
    else hasMore = true;
  }
  const reader = { user: actor.user, entity: actor.entity === actor.user ? null : actor.entity };
  const readings =
    page.length > 0 ? await readItems(store, new Map(page.map(({ room_id }) => [room_id, [reader]]))) : undefined;
  const rooms: Item[] = [];
  let bytes = 0;
  let last: InboxPosition | undefined;
  for (const position of page) {
    const reading = readings!.get(position.room_id);
    const item = reading && toItem(reading);
    if (item) {
      bytes += Buffer.byteLength(JSON.stringify(item));
      if (bytes > maxPageBytes && rooms.length > 0) {
        hasMore = true;
        break;
      }
      rooms.push(item);
    }
    last = position;
  }
  const ownRooms = all.flatMap(([id, , , , , , ownRule]) => (ownRule ? [id] : []));
  return { rooms, next: hasMore ? formatInboxCursor(last!) : null, unread_rooms: unread, ownRooms };
}

function authorizeRow(actor: Actor, row: ListRow): string {
  const [, , type, level_admin, user_owner, entity_owner, ownRule, entityRule] = row;
  const room: RoomOwnership = { type, level_admin, user_owner, entity_owner };
  return authorize(
    actor,
    room,
    [ownRule, entityRule].filter((rule) => rule !== null),
  ).rights;
}
