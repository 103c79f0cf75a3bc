import type { Uuid } from '../core/ids.ts';
import type { EntityManager, Store } from '../database/store.ts';
import { RevocationEntity } from './revocation.entity.ts';

/** A revocation as it stands since `version`. */
export interface RevocationChange {
  id: number;
  user: Uuid | null;
  issuedBefore: number | null;
  jti: string | null;
  version: number;
  lifted: boolean;
}

/** Any fixed number. The holder of this advisory lock writes revocations; others wait. */
const revocationLock = 7_777_002;

const revocationsFromStatement = {
  name: 'revocations_from',
  text: `select id::float8 as id, user_uuid::text as "user", issued_before::float8 as "issuedBefore", jti,
    version::float8 as version, lifted_at is not null as lifted from revocations where version >= $1::bigint order by version`,
};

/** What has changed from this version on, in order: the newest state of each. The newest of all is never removed. */
export function readRevocationsFrom(store: Pick<Store, 'query'>, version: number): Promise<RevocationChange[]> {
  return store.query<RevocationChange>(revocationsFromStatement, [version]);
}

/** The same within a transaction. */
export async function findRevocationsFrom(em: EntityManager, version: number): Promise<RevocationChange[]> {
  const rows = await em.find(RevocationEntity, { version: { $gte: version } }, { orderBy: { version: 'asc' } });
  return rows.map(({ id, userUuid, issuedBefore, jti, version, liftedAt }) => ({
    ...{ id, user: userUuid ?? null, issuedBefore: issuedBefore ?? null, jti: jti ?? null },
    ...{ version, lifted: Boolean(liftedAt) },
  }));
}

/**
 * A transaction that no other writer of revocations runs beside, on any node: `nextVersion` is greater than every one
 * that is committed, and who sees it sees all before it. A sequence would promise neither.
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
