import type { Uuid } from '../../core/ids.ts';
import type { EntityManager } from '../../database/store.ts';

/**
 * How many rooms the user owns, counted up to `most`. Until the transaction ends nobody else counts those of this user,
 * so that rooms which are made at the same time are counted, too.
 */
export async function countOwnedRooms(em: EntityManager, user: Uuid, max: number): Promise<number> {
  await em.execute('select pg_advisory_xact_lock(hashtextextended(?, 0))', [`rooms of ${user}`]);
  const [row] = await em.execute<{ owned: number }[]>(
    'select count(*)::int as owned from (select 1 from rooms where user_owner = ?::uuid limit ?) owned',
    [user, max],
  );
  return row!.owned;
}
