import type { ClientStorage } from './api.ts';
import { indexedDb } from './indexed-db.ts';
import { Offline } from './offline.ts';
import type { Storage } from './storage-records.ts';

export { indexedDb } from './indexed-db.ts';
export { memory } from './memory-storage.ts';
export type { Storage, StorageOp, StoredRecord } from './storage-records.ts';

export interface OfflineOptions {
  /**
   * How many characters are stored for a user, 50 Mi by default. If there would be more, the rooms that have not changed
   * for the longest time are deleted, but never unsent messages.
   */
  maxSize?: number;
}

const defaultMaxSize = 50 * 1024 * 1024;

/**
 * Keeps rooms, the inbox and unsent messages in the storage, by default in IndexedDB. Use it as the option `storage` of
 * `connect`, together with `user`.
 */
export function offline(
  storage: Storage = indexedDb(),
  { maxSize = defaultMaxSize }: OfflineOptions = {},
): ClientStorage {
  return (client, user) => new Offline(client as ConstructorParameters<typeof Offline>[0], { storage, user, maxSize });
}
