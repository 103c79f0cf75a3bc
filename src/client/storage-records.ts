/** What a storage keeps. A key consists of a group and a name: `room:7/position`, `outbox:TAB/ID`. */
export interface StoredRecord {
  key: string;
  /** A record never replaces one with a greater version. */
  version: number;
  /** JSON. */
  value: string;
}

/** `delete` is the key of a record, or a group that ends with `/`, all of whose records are deleted. */
export type StorageOp = { put: StoredRecord } | { delete: string };

/**
 * Where a client keeps what must survive a restart. `offline()` does the rest, so an implementation is three functions
 * around a store of keys and values. All of them may reject.
 */
export interface Storage {
  /** Distinguishes storages of the same page, so that their tabs do not mix what they have. */
  readonly name?: string | undefined;
  /**
   * Returns all records of the user. A storage that may take long passes them to `onRecords` in parts, those that do not
   * belong to a `room:` first, and returns the others. All records of a group must be in the same part.
   */
  open(user: string, onRecords: (records: readonly StoredRecord[]) => void): Promise<readonly StoredRecord[]>;
  /**
   * Carries out the operations in their order, in one transaction if the store has transactions. If it fails, none of
   * them should have happened. No key occurs twice, and deletions come first. A record replaces the present one with the
   * same key unless the present one has a greater version. If the store is full, it rejects with an error whose `name` is
   * `QuotaExceededError`.
   */
  write(ops: readonly StorageOp[], user: string): Promise<void>;
  /** Deletes everything of the user. */
  clear(user: string): Promise<void>;
}

export const readGroup = (key: string): string => key.slice(0, key.indexOf('/') + 1);

const measure = ({ key, value }: StoredRecord) => key.length + value.length;

/** A copy of the stored records in memory, and the sum of their sizes. */
export class Records {
  readonly groups = new Map<string, Map<string, StoredRecord>>();
  /** The number of characters in all keys and values. */
  size = 0;

  get(key: string): StoredRecord | undefined {
    return this.groups.get(readGroup(key))?.get(key);
  }

  /** The records of a group, such as `room:7/`. */
  list(group: string): StoredRecord[] {
    return [...(this.groups.get(group)?.values() ?? [])];
  }

  measureGroup(group: string): number {
    return this.list(group).reduce((sum, record) => sum + measure(record), 0);
  }

  /** Leaves out what would change nothing, and orders the rest as `Storage.write` promises. */
  reduce(ops: readonly StorageOp[]): StorageOp[] {
    const reduced = new Map<string, StorageOp>();
    for (const op of ops) {
      const key = 'put' in op ? op.put.key : op.delete;
      if (key.endsWith('/')) for (const other of reduced.keys()) if (readGroup(other) === key) reduced.delete(other);
      reduced.delete(key);
      reduced.set(key, op);
    }
    const all = [...reduced.values()];
    const deletions = all.filter((op) => 'delete' in op && (this.get(op.delete) || this.groups.has(op.delete)));
    const deleted = new Set(deletions.map((op) => 'delete' in op && op.delete));
    const puts = all.filter((op) => {
      if (!('put' in op)) return false;
      const present = deleted.has(readGroup(op.put.key)) ? undefined : this.get(op.put.key);
      return (
        !present ||
        present.version < op.put.version ||
        (present.version === op.put.version && present.value !== op.put.value)
      );
    });
    return [...deletions, ...puts];
  }

  /** How much larger the records will be. */
  computeGrowth(ops: readonly StorageOp[]): number {
    let growth = 0;
    for (const op of ops) {
      const present = this.get('put' in op ? op.put.key : op.delete);
      if ('put' in op) growth += measure(op.put);
      else if (op.delete.endsWith('/')) growth -= this.measureGroup(op.delete);
      if (present) growth -= measure(present);
    }
    return growth;
  }

  apply(ops: readonly StorageOp[]): void {
    for (const op of ops) {
      const key = 'put' in op ? op.put.key : op.delete;
      const group = readGroup(key);
      if (key === group) {
        this.size -= this.measureGroup(group);
        this.groups.delete(group);
        continue;
      }
      const records = this.groups.get(group) ?? new Map<string, StoredRecord>();
      const present = records.get(key);
      if ('put' in op) {
        if (present && present.version > op.put.version) continue;
        records.set(key, op.put);
        this.groups.set(group, records);
        this.size += measure(op.put);
      } else records.delete(key);
      if (present) this.size -= measure(present);
      if (records.size === 0) this.groups.delete(group);
    }
  }
}
