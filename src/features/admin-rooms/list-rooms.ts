import { type RoomRow, roomColumns, toRoomOfRow } from '../../core/log/room-row.ts';
import type { Statement } from '../../database/store.ts';
import type { AppContext } from '../app-context.ts';
import type { AdminRoom, AdminRoomQuery } from './contract.ts';

/**
 * The numbers of the rooms that fit each condition; `$` is its parameter. Keys are compared by their bytes, and `{` comes
 * after each character of a key.
 */
const conditions = {
  user: "select room_id from permission_rules where grantee = $::uuid and kind <> 'entity'",
  entity: `select room_id from permission_rules where grantee = $::uuid and kind <> 'user'
    union select id from rooms where entity_owner = $::uuid`,
  key_prefix: "select room_id from room_keys where key >= $::text and key < $::text || '{'",
} as const;

type Condition = keyof typeof conditions;

const conditionNames = Object.keys(conditions) as Condition[];

/**
 * One statement for each combination of conditions. It reads the numbers of the page first, so that it reads no other
 * rooms. The values of the conditions are the parameters from 3 on.
 */
function createStatement(used: readonly Condition[]): Statement {
  const fitting = used.map((name, n) => `(${conditions[name].replaceAll('$', `$${n + 3}`)})`).join(' intersect ');
  const ids = fitting ? `select room_id as id from (${fitting}) fitting` : 'select id from rooms';
  // The rules of a deleted room may still exist.
  const exists = used.length > 0 ? 'exists (select 1 from rooms x where x.id = ids.id)' : 'true';
  return {
    name: ['admin_rooms', ...used].join('_'),
    text: `select ${roomColumns}, (select k.key from room_keys k where k.room_id = r.id) as key
      from (select ids.id from (${ids}) ids where ids.id > $1::bigint and ${exists} order by ids.id limit $2::int) page
      join rooms r on r.id = page.id order by r.id`,
  };
}

type Row = Omit<RoomRow, 'rules'> & { key: string | null };

/** Lists the rooms that fit all conditions, in the order of their numbers. */
export async function listAdminRooms(
  { store }: AppContext,
  query: AdminRoomQuery,
): Promise<{ rooms: AdminRoom[]; next: number | null }> {
  const { after = 0, limit } = query;
  const used = conditionNames.filter((name) => query[name] !== undefined);
  const values = used.map((name) => query[name]);
  const rows = await store.query<Row>(createStatement(used), [after, limit + 1, ...values]);
  const rooms = rows.slice(0, limit).map((row) => ({ ...toRoomOfRow(row), key: row.key }));
  return { rooms, next: rows.length > limit ? rooms.at(-1)!.id : null };
}
