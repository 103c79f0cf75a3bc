import type { Store } from '../database/store.ts';
import { type RevocableToken, RevocationIndex } from './revocation-index.ts';
import { type RevocationChange, readRevocationsFrom } from './revocation-log.ts';

/** How long a lifted revocation stays in the database, so that all nodes read it. */
export const liftedRetentionMs = 3_600_000;

/** What one node knows of the revocations. */
export interface RevocationCache {
  isRevoked(token: RevocableToken): boolean;
  /** Resolves when everything that is committed by now is known. */
  refresh(): Promise<void>;
  /** Calls back with revocations that have come into force; returns the undo. */
  onChange(listener: (inForce: readonly RevocationChange[]) => void): () => void;
}

interface UpdatableRevocationCache extends RevocationCache {
  readonly version: number;
  /** What was read of the changes from this version on. */
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
    // The newest of all is never removed: where it is missing, the database was restored.
    if (head === undefined && from > 0) return readAll();
    // Versions are in the order of commits: what does not lead on was read before what is known.
    if (head !== undefined && head > version) apply(changes);
  }

  async function readAll(): Promise<void> {
    const versionBefore = version;
    const all = await readRevocationsFrom(store, 0);
    // A newer version was applied meanwhile.
    if (version !== versionBefore) return readAll();
    index.clear();
    apply(all);
  }

  /** After a failure or a long gap everything is read: the database may have been restored, lifted ones may be gone. */
  async function read(): Promise<void> {
    const now = Date.now();
    const isFresh = now - lastReadAt < liftedRetentionMs / 2;
    lastReadAt = 0;
    const from = version;
    if (isFresh) await applyRead(await readRevocationsFrom(store, from), from);
    else await readAll();
    lastReadAt = now;
  }

  /** One read at a time; a call during a read is served by the next one. */
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
