import type { ClientInbox } from './client-inbox.ts';
import type { Room } from './room.ts';
import type { StorageOp } from './storage-records.ts';
import type { StorageWriter, WriteJob } from './storage-writer.ts';
import type { StoredInbox } from './stored-inbox.ts';
import type { StoredOutbox } from './stored-outbox.ts';
import type { StoredRoom } from './stored-room.ts';

export type Part = Room | ClientInbox;
export type StoredPart = StoredRoom | StoredInbox;

export const isRoom = (part: object): part is Room => 'queuedMessages' in part;

/** Unsent messages are written at once. All other changes are collected for this time and written together. */
const writeDelayMs = 100;

interface Context {
  readonly parts: ReadonlyMap<Part, StoredPart>;
  readonly outbox: StoredOutbox;
  readonly writer: StorageWriter;
  /** Whether changes are written at present. */
  isStoring(): boolean;
  onOutboxStored(): void;
}

/** What has changed since it was written. */
export class PendingWrites {
  readonly #context: Context;
  readonly #dirty = new Set<Part>();
  /** Pending operations that concern no single room or inbox, such as the deletion of damaged records. */
  #others: StorageOp[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isUrgent = false;

  constructor(context: Context) {
    this.#context = context;
  }

  touch(part: Part): void {
    if (!this.#context.isStoring()) return;
    this.#dirty.add(part);
    this.#schedule(this.#isUnsent(part));
  }

  touchAll(): void {
    for (const part of this.#context.parts.keys()) this.touch(part);
  }

  /** The write is deferred, so that the messages of an ended tab are stored as those of this tab in the same transaction. */
  add(...ops: StorageOp[]): void {
    this.#others.push(...ops);
    this.#schedule();
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isUrgent = false;
    const { writer } = this.#context;
    if (!writer.running && this.#context.isStoring())
      void writer.write(this.#collect()).then(() => this.#scheduleRest());
  }

  /** Writes what has changed until now, and nothing after that. */
  close(): Promise<void> {
    const jobs = this.#context.isStoring() ? this.#collect() : [];
    this.stop();
    return this.#context.writer.write(jobs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#dirty.clear();
  }

  #isUnsent = (part: Part): part is Room => isRoom(part) && this.#context.outbox.isUsed(part);

  #schedule(isUrgent = false): void {
    if (!isUrgent) this.#timer ??= setTimeout(() => this.flush(), writeDelayMs);
    else if (!this.#isUrgent) {
      this.#isUrgent = true;
      // Deferred, so that everything that the application does now is written together.
      void Promise.resolve().then(() => this.flush());
    }
  }

  /** Schedules what has changed during a write. */
  #scheduleRest(): void {
    if (!this.#context.isStoring()) return;
    if (this.#dirty.size > 0) this.#schedule([...this.#dirty].some(this.#isUnsent));
    if (this.#others.length > 0) this.#schedule();
  }

  /** Makes the jobs, without waiting for anything, so that each of them writes one consistent state. */
  #collect(): WriteJob[] {
    const { parts, outbox } = this.#context;
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    const unsent = dirty.filter(this.#isUnsent).map((room) => ({ room, ...outbox.collect(room) }));
    const messages: WriteJob = {
      ops: [...this.#others.splice(0), ...unsent.flatMap(({ ops }) => ops)],
      isOutbox: true,
      onStored: () => {
        this.#context.onOutboxStored();
        for (const { room, messages } of unsent) outbox.confirm(room, messages);
      },
      onFailed: () => {
        for (const { room } of unsent) outbox.forget(room);
      },
    };
    const others = dirty.map((part) => {
      const stored = parts.get(part)!;
      return { ops: stored.collect(), group: stored.group, onFailed: () => stored.forget() };
    });
    return [messages, ...others];
  }
}
