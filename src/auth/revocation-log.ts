import type { Uuid } from '../core/ids.ts';
import type { EntityManager, Store } from '../database/store.ts';
import { RevocationEntity } from './revocation.entity.ts';

/** The latest state of a revocation. `version` is the version of the change that led to it. */
export interface RevocationChange {
  id: number;
  user: Uuid | null;
  issuedBefore: number | null;
  jti: string | null;
  version: number;
  lifted: boolean;
}

/** The key of the advisory lock, an arbitrary number. Only the holder of the lock writes revocations; others wait. */
const revocationLock = 7_777_002;

const revocationsFromStatement = {
  name: 'revocations_from',
  text: `select id::float8 as id, user_uuid::text as "user", issued_before::float8 as "issuedBefore", jti,
    version::float8 as version, lifted_at is not null as lifted from revocations where version >= $1::bigint order by version`,
};

/**
 * Reads the latest state of every revocation that has changed since `version`, inclusive, in the order of versions. The
 * newest row of the table is never removed, so an empty result means that the database was restored (or is new).
 */
export function readRevocationsFrom(store: Pick<Store, 'query'>, version: number): Promise<RevocationChange[]> {
  return store.query<RevocationChange>(revocationsFromStatement, [version]);
}

/** The same as `readRevocationsFrom`, but within a transaction. */
export async function findRevocationsFrom(em: EntityManager, version: number): Promise<RevocationChange[]> {
  const rows = await em.find(RevocationEntity, { version: { $gte: version } }, { orderBy: { version: 'asc' } });
  return rows.map(({ id, userUuid, issuedBefore, jti, version, liftedAt }) => ({
    ...{ id, user: userUuid ?? null, issuedBefore: issuedBefore ?? null, jti: jti ?? null },
    ...{ version, lifted: Boolean(liftedAt) },
  }));
}

/**
 * Runs the task in a transaction, and no other writer of revocations on any node runs at the same time. Therefore
 * `nextVersion` is greater than every committed version, and a reader who sees a version also sees all versions before
 * it. A database sequence would guarantee neither.
 */
export function withRevocationLock<T>(
  store: Pick<Store, 'transaction'>,
  task: (em: EntityManager, nextVersion: number) => Promise<T>,
): Promise<T> {
  return store.transaction(async (em) => {
    await em.execute(`select pg_advisory_xact_lock(${revocationLock})`);
    const [row] = await em.execute<{ last: number }[]>(
      'select coalesce(max(version), 0)::float8 as last from revocations',
    );
    return task(em, Number(row!.last) + 1);
  });
}
