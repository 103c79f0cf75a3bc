import type { EntityManager } from '../../database/store.ts';
import type { Uuid } from '../ids.ts';

/**
 * Reads the letters of the last rule that the grantee had in the room, even if the rule was removed. The log does not
 * contain the first rules of a room. If it contains no rule of the grantee, the result is undefined. In an imported
 * room it is the letters of the imported rule instead, or `rw` if there was no imported rule.
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
