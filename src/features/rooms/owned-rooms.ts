import type { Uuid } from '../../core/ids.ts';
import type { EntityManager } from '../../database/store.ts';

/**
 * Counts the rooms that the user owns, up to `max`. The advisory lock lasts until the transaction ends. Therefore a
 * concurrent transaction of the same user waits, and then also counts the room that this transaction creates.
 */
export async function countOwnedRooms(em: EntityManager, user: Uuid, max: number): Promise<number> {
  await em.execute('select pg_advisory_xact_lock(hashtextextended(?, 0))', [`rooms of ${user}`]);
  const [row] = await em.execute<{ owned: number }[]>(
    'select count(*)::int as owned from (select 1 from rooms where user_owner = ?::uuid limit ?) owned',
    [user, max],
  );
  return row!.owned;
}
