import { RevocationEntity } from '../../auth/revocation.entity.ts';
import { createRevocationCache, liftedRetentionMs, type RevocationCache } from '../../auth/revocation-cache.ts';
import { findRevocationsFrom, withRevocationLock } from '../../auth/revocation-log.ts';
import { ChatError } from '../../core/errors.ts';
import { runPeriodically, type TaskReport } from '../../core/periodic.ts';
import type { Signals } from '../../core/signals.ts';
import { readDatabaseTime } from '../../database/clock.ts';
import type { EntityManager, Store } from '../../database/store.ts';
import type { CreateRevocation, Revocation, RevocationListQuery } from './revocation.ts';

/** The revocations are stored in the database, and every node caches them. */
export interface Revocations extends RevocationCache {
  /** Fills the cache, and keeps it up to date until `close` is called. */
  open(): Promise<void>;
  /** If the same tokens are already revoked, returns the existing revocation. */
  revoke(target: CreateRevocation): Promise<{ revocation: Revocation; created: boolean }>;
  /** Lists the revocations in force, newest first. */
  list(query: RevocationListQuery): Promise<{ revocations: Revocation[]; has_more: boolean }>;
  lift(id: number): Promise<void>;
  close(): void;
}

interface Collaborators {
  store: Store;
  signals: Signals;
  reconcileIntervalMs: number;
  report: TaskReport;
}

export function createRevocations({ store, signals, reconcileIntervalMs, report }: Collaborators): Revocations {
  const cache = createRevocationCache(store);
  const { isRevoked, refresh, onChange } = cache;
  let stopUpdating = () => {};

  /** Commits a change of the revocations, signals it to the other nodes, and applies it to the cache of this node. */
  async function write<T>(task: (em: EntityManager, nextVersion: number) => Promise<T>): Promise<T> {
    const from = cache.version;
    const { result, changes } = await withRevocationLock(store, async (em, nextVersion) => {
      const result = await task(em, nextVersion);
      await em.flush();
      return { result, changes: await findRevocationsFrom(em, from) };
    });
    signals.send('revocations');
    await cache.apply(changes, from);
    return result;
  }

  return {
    ...{ isRevoked, refresh, onChange },
    async open() {
      await refresh();
      const stopReconciling = runPeriodically(reconcileIntervalMs, refresh, report);
      const stopListening = signals.onSignal('revocations', () => void refresh().then(report.recovered, report.failed));
      stopUpdating = () => {
        stopReconciling();
        stopListening();
      };
    },
    revoke: (target) =>
      write(async (em, version) => {
        const now = await readDatabaseTime(em);
        const { user: userUuid, issuedBefore, jti } = target;
        const existing = await em.findOne(RevocationEntity, { userUuid, issuedBefore, jti, liftedAt: null });
        if (existing) return { revocation: toRevocation(existing), created: false };
        const entity = em.create(RevocationEntity, { userUuid, issuedBefore, jti, version, createdAt: now });
        await em.persist(entity).flush();
        await deleteLifted(em, now);
        return { revocation: toRevocation(entity), created: true };
      }),
    async list({ limit, before }) {
      const where = { liftedAt: null, ...(before !== undefined && { id: { $lt: before } }) };
      const found = await store.transaction((em) =>
        em.find(RevocationEntity, where, { orderBy: { id: 'desc' }, limit: limit + 1 }),
      );
      return { revocations: found.slice(0, limit).map(toRevocation), has_more: found.length > limit };
    },
    lift: (id) =>
      write(async (em, version) => {
        const entity = await em.findOne(RevocationEntity, { id, liftedAt: null });
        if (!entity) throw new ChatError('NOT_FOUND', { message: `Revocation ${id} does not exist or was lifted` });
        const now = await readDatabaseTime(em);
        Object.assign(entity, { version, liftedAt: now });
        await em.flush();
        await deleteLifted(em, now);
      }),
    close: () => stopUpdating(),
  };
}

async function deleteLifted(em: EntityManager, now: Date): Promise<void> {
  await em.nativeDelete(RevocationEntity, { liftedAt: { $lt: new Date(now.getTime() - liftedRetentionMs) } });
}

function toRevocation({ id, userUuid, issuedBefore, jti, createdAt }: RevocationEntity): Revocation {
  return {
    id,
    userUUID: userUuid ?? null,
    issued_before: issuedBefore ?? null,
    jti: jti ?? null,
    createdAt: createdAt.toISOString(),
  };
}
