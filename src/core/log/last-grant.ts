import type { EntityManager } from '../../database/store.ts';
import type { Uuid } from '../ids.ts';

/**
 * The letters that a grantee last had, even if their rule was removed. The first rules of a room are not in its log: for
 * them it returns undefined or, in an imported room, the imported letters, and `rw` if the legacy service has removed
 * the rule since.
 */
export async function readLastGrant(em: EntityManager, room: number, grantee: Uuid): Promise<string | undefined> {
  const [row] = await em.execute<{ permissions: string | null }[]>(
    `select coalesce(
      (select body->>'permissions' from room_changes where room_id = ? and kind = 'member'
        and body->>'entity_UUID' = ? and body->>'permissions' is not null order by rev desc limit 1),
      (select coalesce(rules->?::text->>'permissions', 'rw') from imported_rooms where room_id = ?)) as permissions`,
    [room, grantee, grantee, room],
  );
  return row?.permissions ?? undefined;
}
