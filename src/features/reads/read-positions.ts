import type { Actor } from '../../core/authorization.ts';
import type { RoomId, Uuid } from '../../core/ids.ts';
import type { Store } from '../../database/store.ts';
import type { Mark } from './receipts.ts';

/** A room with more positions than this has no receipts. */
const maxPositions = 100;

const positionsStatement = {
  name: 'read_positions',
  text: `select s.read_seq::float8 as read_seq, s.version::float8 as version, (
      select json_agg(json_build_object('user', p.user_uuid, 'read_seq', p.receipt_seq, 'version', p.version,
        'entity', p.entity, 'level', p.level, 'isShared', p.receipt_seq is not null))
      from (
        select * from positions x where coalesce(r.receipts, r.type = 'user2user') and x.room_id = r.id
          and x.read_seq is not null limit $4::int
      ) p
    ) as positions
    from rooms r cross join lateral read_state(r.id, r.last_seq, $2::uuid, $3::uuid) s where r.id = $1::bigint`,
};

interface Row {
  read_seq: number;
  version: number;
  positions: (Omit<Mark, 'level'> & { user: Uuid; level: number | null })[] | null;
}

/**
 * Reads the position of the actor. If the room has receipts, also reads the positions of the other users, as far as
 * they share them.
 */
export async function readPositions(
  store: Pick<Store, 'query'>,
  room: RoomId,
  { user, entity, level }: Actor,
): Promise<Mark[]> {
  const [row] = await store.query<Row>(positionsStatement, [room, user, entity, maxPositions + 1]);
  if (!row) return [];
  const { read_seq, version, positions } = row;
  const own = { user, read_seq, version, entity, level, isShared: false };
  const others = (positions ?? []).filter((position) => position.user !== user && position.isShared);
  const isCrowded = (positions?.length ?? 0) > maxPositions;
  return [own, ...(isCrowded ? [] : others.map((position) => ({ ...position, level: position.level ?? 0 })))];
}
