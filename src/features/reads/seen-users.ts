import { LRUCache } from 'lru-cache';
import type { Uuid } from '../../core/ids.ts';
import type { Store } from '../../database/store.ts';

/** Remembers in the database when the service first saw each user. */
export interface SeenUsers {
  /** Called with every valid token. Never waits; what could not be stored is stored with the next call. */
  add(user: Uuid): void;
}

const maxKnown = 50_000;
const maxBatch = 1_000;

const insertStatement = {
  name: 'insert_users_seen',
  text: `insert into users_seen (user_uuid, at) select u.user_uuid, now() from unnest($1::uuid[]) as u(user_uuid)
    order by u.user_uuid on conflict (user_uuid) do nothing`,
};

export function createSeenUsers(store: Pick<Store, 'query'>): SeenUsers {
  /** Users whose row exists or is about to be inserted. */
  const known = new LRUCache<Uuid, true>({ max: maxKnown });
  const pending = new Set<Uuid>();
  let isRunning = false;

  async function run(): Promise<void> {
    isRunning = true;
    try {
      while (pending.size > 0) {
        await new Promise((resolve) => setImmediate(resolve));
        const batch = [...pending].slice(0, maxBatch);
        await store.query(insertStatement, [batch]);
        for (const user of batch) pending.delete(user);
      }
    } catch {
      // The store has reported the outage. The users stay pending.
    } finally {
      isRunning = false;
    }
  }

  return {
    add(user) {
      if (known.has(user)) return;
      known.set(user, true);
      pending.add(user);
      if (!isRunning) void run();
    },
  };
}
