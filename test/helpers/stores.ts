import { randomUUID } from 'node:crypto';
import { openPglite, openPostgres } from '../../src/database/open-store.ts';
import type { Store } from '../../src/database/store.ts';
import { closeLater } from './cleanup.ts';
import { migratedDirectory } from './embedded-template.ts';
import { freshDatabase } from './postgres.ts';

const settings = { poolSize: 5, statementTimeoutMs: 10_000 };

/** Opens a store on PostgreSQL without a node; it is closed after the test. */
export async function openPostgresStore(databaseUrl: string): Promise<Store> {
  const store = await openPostgres({ databaseUrl, ...settings });
  closeLater(() => store.close());
  return store;
}

/** Opens a store on an empty PGlite; it is closed after the test. */
export async function openPgliteStore(): Promise<Store> {
  const store = await openPglite(await migratedDirectory());
  closeLater(() => store.close());
  return store;
}

const stores: Record<string, () => Promise<Store>> = {
  PostgreSQL: async () => openPostgresStore(await freshDatabase()),
  PGlite: openPgliteStore,
};

/** Runs the same tests on an empty database of each kind. */
export function describeEveryStore(title: string, suite: (store: () => Store) => void): void {
  for (const [name, open] of Object.entries(stores)) {
    describe(`${title} [${name}]`, () => {
      let store: Store;
      before(async function () {
        // PostgreSQL may have to be installed first.
        this.timeout(300_000);
        store = await open();
      });
      suite(() => store);
    });
  }
}

/** A named query of a test: the store prepares each name once. */
export const toQuery = (text: string) => ({ name: `test ${text}`.slice(0, 60), text });

/** Inserts a room without rules that was last changed `ageSeconds` ago, and returns its id. */
export async function insertRoom(store: Store, ageSeconds = 60): Promise<number> {
  const [row] = await store.query<{ id: number }>(
    toQuery(`insert into rooms (uuid, name, type, level_admin, user_owner, max_entity_rules, last_change_at, created_at, updated_at)
      select $1::uuid, 'a room', 'group', 0, $1::uuid, 10, at, at, at
      from (select date_trunc('milliseconds', now() - make_interval(secs => $2::float8)) as at) x returning id::float8 as id`),
    [randomUUID(), ageSeconds],
  );
  return row!.id;
}
