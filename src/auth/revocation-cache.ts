import type { Store } from '../database/store.ts';
import { type RevocableToken, RevocationIndex } from './revocation-index.ts';
import { type RevocationChange, readRevocationsFrom } from './revocation-log.ts';

/** How long a lifted revocation stays in the database, so that every node reads that it was lifted. */
export const liftedRetentionMs = 3_600_000;

/** The revocations that one node knows. */
export interface RevocationCache {
  isRevoked(token: RevocableToken): boolean;
  /** Resolves when this node knows every revocation that was committed before the call. */
  refresh(): Promise<void>;
  /** Calls the listener with revocations that have come into force. Returns a function that removes the listener. */
  onChange(listener: (inForce: readonly RevocationChange[]) => void): () => void;
}

interface UpdatableRevocationCache extends RevocationCache {
  readonly version: number;
  /** Applies changes that the caller has read from the database, starting with version `from`. */
  apply(changes: readonly RevocationChange[], from: number): Promise<void>;
}

export function createRevocationCache(store: Pick<Store, 'query'>): UpdatableRevocationCache {
  const index = new RevocationIndex();
  const listeners = new Set<(inForce: readonly RevocationChange[]) => void>();
  let version = 0;
  let lastReadAt = 0;
  let runningRead: Promise<void> | undefined;
  let nextRead: Promise<void> | undefined;

  function apply(changes: readonly RevocationChange[]): void {
    const inForce = changes.filter((change) => index.add(change));
    version = changes.at(-1)?.version ?? 0;
    if (inForce.length > 0) for (const listener of listeners) listener(inForce);
  }

  async function applyRead(changes: readonly RevocationChange[], from: number): Promise<void> {
    const head = changes.at(-1)?.version;
    // The query includes the row with version `from`, and the newest row of the table is never removed. So an empty
    // result means that the database was restored from a backup.
    if (head === undefined && from > 0) return readAll();
    // Later commits have higher versions. If no version is above `version`, this node already knows all these changes.
    if (head !== undefined && head > version) apply(changes);
  }

  async function readAll(): Promise<void> {
    const versionBefore = version;
    const all = await readRevocationsFrom(store, 0);
    // During the query, newer changes may have been applied. `all` would undo them, so it is read again.
    if (version !== versionBefore) return readAll();
    index.clear();
    apply(all);
  }

  /**
   * Reads only the changes since the last read. After a failure or a long gap, reads all revocations: the database may
   * have been restored, and lifted revocations may have been removed before this node read that they were lifted.
   */
  async function read(): Promise<void> {
    const now = Date.now();
    const isFresh = now - lastReadAt < liftedRetentionMs / 2;
    lastReadAt = 0;
    const from = version;
    if (isFresh) await applyRead(await readRevocationsFrom(store, from), from);
    else await readAll();
    lastReadAt = now;
  }

  /**
   * Reads run one at a time. A call during a read waits for the next read, because the running one may have started
   * before the change that the caller needs.
   */
  function refresh(): Promise<void> {
    if (!runningRead) {
      runningRead = read().finally(() => {
        runningRead = undefined;
      });
      return runningRead;
    }
    const currentRead = runningRead.catch(() => {});
    nextRead ??= currentRead.then(() => {
      nextRead = undefined;
      return refresh();
    });
    return nextRead;
  }

  return {
    isRevoked: (token) => index.has(token),
    refresh,
    apply: applyRead,
    get version() {
      return version;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
