import type { Storage, StorageOp, StoredRecord } from './storage-records.ts';

/** The parts of IndexedDB that are used. Declared here, because the project compiles without the types of the DOM. */
interface Request<T> {
  readonly result: T;
  readonly error: Error | null;
  onsuccess: (() => void) | null;
  onerror: (() => void) | null;
}
interface OpenRequest extends Request<Database> {
  onblocked: (() => void) | null;
  onupgradeneeded: (() => void) | null;
}
interface ObjectStore {
  get(key: string): Request<StoredRecord | undefined>;
  getAll(range: unknown): Request<StoredRecord[]>;
  put(record: StoredRecord): Request<unknown>;
  delete(key: unknown): Request<unknown>;
  clear(): Request<unknown>;
}
interface Transaction {
  readonly error: Error | null;
  oncomplete: (() => void) | null;
  onabort: (() => void) | null;
  objectStore(name: string): ObjectStore;
  abort(): void;
}
interface Database {
  readonly objectStoreNames: Iterable<string>;
  onversionchange: (() => void) | null;
  transaction(store: string, mode: 'readonly' | 'readwrite', options?: { durability: 'relaxed' }): Transaction;
  createObjectStore(name: string, options: { keyPath: string }): ObjectStore;
  deleteObjectStore(name: string): void;
  close(): void;
}
interface Globals {
  indexedDB?: { open(name: string, version: number): OpenRequest; deleteDatabase(name: string): OpenRequest };
  IDBKeyRange: { bound(lower: string, upper: string): unknown };
}

/** Increase this if the records get another form: an upgrade deletes the old ones. */
const version = 1;
const storeName = 'records';
/** Errors after which the same database cannot be read any more. All others may pass. */
const unreadable = ['UnknownError', 'NotFoundError', 'DataError', 'NotReadableError'];

/**
 * The ranges of keys in which a database is read. Reading a full database at once would block the page for half a second.
 * The inbox and the unsent messages come first, and then the rooms, by the first digit of their number.
 */
const parts = [
  ['', 'room:'],
  ['room;', '\uFFFF'],
  ...Array.from('123456789', (digit) => [`room:${digit}`, `room:${digit}\uFFFF`] as const),
] as const;

const globals = globalThis as unknown as Globals;

/** One database per user, with one object store. */
export class IndexedDb implements Storage {
  readonly name: string | undefined;
  readonly #databases = new Map<string, Database>();

  constructor(name: string | undefined) {
    this.name = name;
  }

  async open(user: string, onRecords: (records: readonly StoredRecord[]) => void): Promise<readonly StoredRecord[]> {
    try {
      return await this.#read(user, onRecords);
    } catch {
      // The connection may have been lost.
    }
    try {
      return await this.#read(user, onRecords);
    } catch (error) {
      if (!unreadable.includes((error as Error).name)) throw error;
      this.#close(user);
      await this.#delete(user);
      return this.#read(user, onRecords);
    }
  }

  async write(ops: readonly StorageOp[], user: string): Promise<void> {
    try {
      await this.#transact(user, (store, guard) => writeAll(store, ops, guard));
    } catch (error) {
      if ((error as Error).name === 'QuotaExceededError') throw error;
      this.#close(user);
      await this.#transact(user, (store, guard) => writeAll(store, ops, guard));
    }
  }

  async clear(user: string): Promise<void> {
    try {
      await this.#transact(user, (store) => void store.clear());
    } catch {
      this.#close(user);
      await this.#delete(user);
    }
    this.#close(user);
    // Only the empty database is left. A frozen tab may keep it.
    void this.#delete(user).catch(() => {});
  }

  async #read(user: string, onRecords: (records: readonly StoredRecord[]) => void): Promise<readonly StoredRecord[]> {
    await this.#transact(user, (store, guard) => {
      for (const [lower, upper] of parts) {
        const part = store.getAll(globals.IDBKeyRange.bound(lower, upper));
        part.onsuccess = guard(() => onRecords(part.result));
      }
    });
    return [];
  }

  async #transact(user: string, run: (store: ObjectStore, guard: (step: () => void) => () => void) => void) {
    let database = this.#databases.get(user);
    if (!database) {
      database = await this.#connect(user);
      this.#databases.get(user)?.close();
      this.#databases.set(user, database);
    }
    const transaction = database.transaction(storeName, 'readwrite', { durability: 'relaxed' });
    await new Promise<void>((resolve, reject) => {
      let failure: unknown;
      // An exception in a callback would be reported to the page.
      const guard = (step: () => void) => () => {
        try {
          step();
        } catch (error) {
          failure = error;
          transaction.abort();
        }
      };
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(failure ?? transaction.error ?? new Error('The transaction was aborted'));
      guard(() => run(transaction.objectStore(storeName), guard))();
    });
  }

  #connect(user: string): Promise<Database> {
    const { indexedDB } = globals;
    if (!indexedDB) return Promise.reject(new Error('This platform has no IndexedDB'));
    return new Promise((resolve, reject) => {
      const request = indexedDB.open(this.#toName(user), version);
      let isBlocked = false;
      request.onupgradeneeded = () => {
        const { result } = request;
        for (const name of [...result.objectStoreNames]) result.deleteObjectStore(name);
        result.createObjectStore(storeName, { keyPath: 'key' });
      };
      // Another tab runs an older version of the page. It may be frozen, so waiting for it could take for ever.
      request.onblocked = () => {
        isBlocked = true;
        reject(new Error('The database is blocked by another tab'));
      };
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const { result } = request;
        if (isBlocked) return result.close();
        // Another tab deletes or upgrades the database.
        result.onversionchange = () => result.close();
        resolve(result);
      };
    });
  }

  #delete(user: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const request = globals.indexedDB!.deleteDatabase(this.#toName(user));
      request.onsuccess = () => resolve();
      request.onerror = () => reject(request.error);
      request.onblocked = () => reject(new Error('The database is blocked by another tab'));
    });
  }

  #close(user: string): void {
    this.#databases.get(user)?.close();
    this.#databases.delete(user);
  }

  #toName(user: string): string {
    return `${this.name ?? 'nano-messaging'}:${user}`;
  }
}

function writeAll(store: ObjectStore, ops: readonly StorageOp[], guard: (step: () => void) => () => void): void {
  for (const op of ops) {
    if ('put' in op) {
      const { put } = op;
      const present = store.get(put.key);
      present.onsuccess = guard(() => {
        if (!(present.result && present.result.version > put.version)) store.put(put);
      });
    } else
      store.delete(op.delete.endsWith('/') ? globals.IDBKeyRange.bound(op.delete, `${op.delete}\uFFFF`) : op.delete);
  }
}

/**
 * Keeps the records in IndexedDB. A page that uses several services gives each of them another `name`, because the same
 * user may exist in all of them.
 */
export const indexedDb = (name?: string): Storage => new IndexedDb(name);
