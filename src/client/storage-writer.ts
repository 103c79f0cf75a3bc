import type { StorageState } from './api.ts';
import type { Records, Storage, StorageOp } from './storage-records.ts';

export interface StorageSettings {
  storage: Storage;
  user: string;
  maxSize: number;
}

/** Operations of one transaction. */
export interface WriteJob {
  ops: StorageOp[];
  /** The group that must not be deleted to make room. */
  group?: string | undefined;
  /** Whether it is about unsent messages. They are written even if `maxSize` is reached. */
  isOutbox?: boolean;
  onStored?(): void;
  onFailed(): void;
}

interface WriterEvents {
  /** Called after each transaction, also after one that made room for a job. */
  onWritten(ops: readonly StorageOp[]): void;
  onState(state: StorageState): void;
}

/** Writes one job after the other, and deletes the oldest rooms if there is no space. */
export class StorageWriter {
  /** Undefined if there are no jobs. */
  running: Promise<void> | undefined;
  readonly #settings: StorageSettings;
  /** What is stored, as far as this tab knows. */
  readonly #records: Records;
  readonly #events: WriterEvents;
  #jobs: WriteJob[] = [];

  constructor(settings: StorageSettings, records: Records, events: WriterEvents) {
    this.#settings = settings;
    this.#records = records;
    this.#events = events;
  }

  /** Resolves when all jobs are done. */
  write(jobs: readonly WriteJob[]): Promise<void> {
    this.#jobs.push(...jobs);
    this.running ??= this.#run().finally(() => {
      this.running = undefined;
    });
    return this.running;
  }

  /** Drops all jobs except the one that is being written. Returns a promise of its end, if there is one. */
  cancel(): Promise<void> | undefined {
    this.#jobs = [];
    return this.running;
  }

  async #run(): Promise<void> {
    for (let job = this.#jobs.shift(); job; job = this.#jobs.shift()) {
      if (await this.#write(job)) job.onStored?.();
      else job.onFailed();
    }
  }

  /** Returns whether it is stored. */
  async #write(job: WriteJob): Promise<boolean> {
    const { maxSize } = this.#settings;
    for (;;) {
      const ops = this.#records.reduce(job.ops);
      if (ops.length === 0) return true;
      const isTooMuch = this.#records.size + this.#records.computeGrowth(ops) > maxSize;
      try {
        const oldest = isTooMuch ? this.#findOldest(job.group) : undefined;
        if (oldest) await this.#store([{ delete: oldest }]);
        else if (isTooMuch && !job.isOutbox) return this.#fail('full');
        else {
          await this.#store(ops);
          if (!job.isOutbox) this.#events.onState('ok');
          return true;
        }
      } catch (error) {
        const { name } = (error ?? {}) as Error;
        if (name !== 'QuotaExceededError') return this.#fail('memory');
        const oldest = this.#findOldest(job.group);
        if (!oldest) return this.#fail('full');
        try {
          await this.#store([{ delete: oldest }]);
        } catch {
          return this.#fail('full');
        }
      }
    }
  }

  async #store(ops: StorageOp[]): Promise<void> {
    const { storage, user } = this.#settings;
    await storage.write(ops, user);
    this.#events.onWritten(ops);
  }

  #fail(state: 'full' | 'memory'): false {
    this.#events.onState(state);
    if (state === 'memory') void this.cancel();
    return false;
  }

  /** Returns the group of the room that has not changed for the longest time. */
  #findOldest(except: string | undefined): string | undefined {
    let oldest: { group: string; at: number } | undefined;
    for (const [group, records] of this.#records.groups) {
      if (!group.startsWith('room:') || group === except) continue;
      const at = Number(/"at":(\d+)}$/.exec(records.get(`${group}position`)?.value ?? '')?.[1] ?? 0);
      if (!oldest || at < oldest.at) oldest = { group, at };
    }
    return oldest?.group;
  }
}
