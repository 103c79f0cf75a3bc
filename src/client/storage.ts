export { indexedDb } from './indexed-db.ts';
export { memory } from './memory-storage.ts';
export { type OfflineOptions, offline } from './offline.ts';
export type { Storage, StorageOp, StoredRecord } from './storage-records.ts';
