import type { EntityManager } from '../../database/store.ts';
import type { Uuid } from '../ids.ts';

/**
 * Reads the permissions of the last rule that the grantee had in the room, even if the rule was removed. The
 * first rules of a room are not in the log. If the log has no rule of the grantee, returns undefined; for an imported
 * room, returns the imported permissions instead, or `rw` if none were imported for the grantee.
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
