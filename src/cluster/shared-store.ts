/**
 * The commands of the store in which all nodes count together: Redis, or the primary process if the nodes are workers
 * on one machine. A command may reject, or never be answered.
 */
export interface SharedCommands {
  /**
   * Acquires or renews a lease. Resolves with 1 on success, or with 0 if there are already `maxLeases` other leases. If
   * `maxLeases` is 0, there is no limit.
   */
  lease(key: string, holder: string, maxLeases: number, leaseMs: number): Promise<number>;
  /** Resolves to the number of leases that have not expired. */
  countLeases(key: string): Promise<number>;
  /** Takes tokens from a bucket that all nodes share. Resolves with the time in ms until the bucket is full again. */
  spend(key: string, spentMs: number, maxMs: number): Promise<number>;
  /**
   * Adds or renews an entry of a list whose entries expire unless they are renewed. Resolves to the number of entries.
   */
  enlist(key: string, member: string, leaseMs: number): Promise<number>;
  zRem(key: string, member: string): Promise<number>;
}

export interface SharedStore {
  readonly isUp: boolean;
  readonly connection: SharedCommands;
  /** Call this with the error of a write. */
  handleWriteFailure(error: unknown): void;
}

/** Returns undefined while the store has never been reached. */
export type GetSharedStore = () => SharedStore | undefined;
