import type { EntityManager } from '../../database/store.ts';
import type { Uuid } from '../ids.ts';

/**
 * The letters that the room's log last granted somebody, also if the rule is gone. A rule that the room was made with
 * is not in the log: undefined, and for an imported room what the import brought. `rw` stands in for a rule that the
 * legacy service has since removed.
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
