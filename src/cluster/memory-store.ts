import type { SharedCommands } from './shared-store.ts';

interface Entry {
  expiresAt: number;
  /** The worker that wrote the entry. */
  owner: number;
}

type Command = keyof SharedCommands;
type Arguments<C extends Command> = Parameters<SharedCommands[C]>;

const cleanupIntervalMs = 30_000;

/** The counts of all workers of one machine, in the memory of the primary process. Several nodes have them in Redis. */
export class MemoryStore {
  readonly #sets = new Map<string, Map<string, Entry>>();
  /** The times at which the buckets are full again. */
  readonly #fullAt = new Map<string, number>();
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#timer = setInterval(() => this.#removeExpired(), cleanupIntervalMs).unref();
  }

  /** Runs a command of this worker. Returns undefined for an unknown command. */
  run<C extends Command>(owner: number, command: C, args: Arguments<C>): number | undefined {
    const [key, name, first, second] = args as [string, string, number, number];
    if (command === 'lease') return this.#lease(owner, key, name, first, second);
    if (command === 'countLeases') return this.#read(key).size;
    if (command === 'enlist') return this.#enlist(owner, key, name, first);
    if (command === 'zRem') return this.#remove(key, name);
    if (command === 'spend') return this.#spend(key, ...(args.slice(1) as [number, number]));
    return undefined;
  }

  /** Removes the entries of a worker that has ended, so that nobody waits until they expire. */
  forget(owner: number): void {
    for (const [key, entries] of this.#sets) {
      for (const [name, entry] of entries) if (entry.owner === owner) entries.delete(name);
      if (entries.size === 0) this.#sets.delete(key);
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #lease(owner: number, key: string, holder: string, maxLeases: number, leaseMs: number): number {
    const entries = this.#read(key);
    if (maxLeases > 0 && !entries.has(holder) && entries.size >= maxLeases) return 0;
    this.#write(key, entries, holder, { expiresAt: this.#now() + leaseMs, owner });
    return 1;
  }

  #enlist(owner: number, key: string, member: string, leaseMs: number): number {
    const entries = this.#read(key);
    this.#write(key, entries, member, { expiresAt: this.#now() + leaseMs, owner });
    return entries.size;
  }

  #remove(key: string, member: string): number {
    const entries = this.#sets.get(key);
    const wasRemoved = entries?.delete(member) ?? false;
    if (entries?.size === 0) this.#sets.delete(key);
    return Number(wasRemoved);
  }

  #spend(key: string, spentMs: number, maxMs: number): number {
    const now = this.#now();
    const fullAt = Math.min(Math.max(this.#fullAt.get(key) ?? 0, now) + spentMs, now + maxMs);
    this.#fullAt.set(key, fullAt);
    return fullAt - now;
  }

  #read(key: string): Map<string, Entry> {
    const entries = this.#sets.get(key) ?? new Map<string, Entry>();
    const now = this.#now();
    for (const [name, { expiresAt }] of entries) if (expiresAt <= now) entries.delete(name);
    return entries;
  }

  #write(key: string, entries: Map<string, Entry>, name: string, entry: Entry): void {
    this.#sets.set(key, entries.set(name, entry));
  }

  #removeExpired(): void {
    const now = this.#now();
    for (const key of this.#sets.keys()) if (this.#read(key).size === 0) this.#sets.delete(key);
    for (const [key, fullAt] of this.#fullAt) if (fullAt <= now) this.#fullAt.delete(key);
  }
}
