import { ChatError } from '../../core/errors.ts';
import type { Store } from '../../database/store.ts';
import { isConflict } from '../../database/store-errors.ts';
import { type PositionWrite, type WrittenPosition, writePositions } from './write-positions.ts';

export interface PositionEvents {
  /** A batch of this many positions was stored. */
  committed(positions: number, seconds: number): void;
  /** A request was merged with an earlier request of the same user and room. */
  merged(): void;
}

/** Stores marks and personal settings. */
export interface PositionQueue {
  /** Resolves when the write is stored. Throws `NOT_FOUND` if the room does not exist. */
  write(write: PositionWrite): Promise<WrittenPosition>;
}

interface QueuedWrite {
  write: PositionWrite;
  resolve: ((written: WrittenPosition) => void)[];
  reject: ((error: unknown) => void)[];
}

interface Collaborators {
  store: Pick<Store, 'query'>;
  /** Called for each stored write, before it is acknowledged. */
  onWritten(write: PositionWrite, written: WrittenPosition): void;
  events: PositionEvents;
}

const defaultLimits = { maxQueued: 20_000, maxBatch: 500 };
const maxAttempts = 3;

/**
 * Commits all writes that arrived during the previous commit, in one statement. Several writes of one user in one room
 * become one.
 */
export function createPositionQueue(
  { store, onWritten, events }: Collaborators,
  limits = defaultLimits,
): PositionQueue {
  let queue: QueuedWrite[] = [];
  /** The last queued write of each user and room. */
  const lastByKey = new Map<string, QueuedWrite>();
  let isRunning = false;

  function write(given: PositionWrite): Promise<WrittenPosition> {
    return new Promise((resolve, reject) => {
      const key = toKey(given);
      const last = lastByKey.get(key);
      const merged = last && mergeWrites(last.write, given);
      if (merged) {
        last.write = merged;
        last.resolve.push(resolve);
        last.reject.push(reject);
        events.merged();
        return;
      }
      if (queue.length >= limits.maxQueued) {
        const message = 'The server has too many marks in its queue, retry later';
        return reject(new ChatError('UNAVAILABLE', { message, retryAfterMs: 1_000 }));
      }
      const queued = { write: given, resolve: [resolve], reject: [reject] };
      queue.push(queued);
      lastByKey.set(key, queued);
      if (!isRunning) void run();
    });
  }

  async function run(): Promise<void> {
    isRunning = true;
    while (queue.length > 0) {
      // Waits for the end of the tick only, so that all marks of one tick share a commit.
      await new Promise((resolve) => setImmediate(resolve));
      await commit(takeBatch());
    }
    isRunning = false;
  }

  /**
   * Takes at most one write for each user and room. A second write, which could not be merged with the first, waits for
   * the next batch.
   */
  function takeBatch(): QueuedWrite[] {
    const batch = new Map<string, QueuedWrite>();
    const later: QueuedWrite[] = [];
    for (const queued of queue) {
      const key = toKey(queued.write);
      if (batch.size >= limits.maxBatch || batch.has(key)) later.push(queued);
      else batch.set(key, queued);
    }
    for (const [key, queued] of batch) if (lastByKey.get(key) === queued) lastByKey.delete(key);
    queue = later;
    return [...batch.values()];
  }

  async function commit(batch: readonly QueuedWrite[]): Promise<void> {
    try {
      const startedAt = performance.now();
      const results = await writeWithRetries(batch.map(({ write }) => write));
      events.committed(batch.length, (performance.now() - startedAt) / 1_000);
      for (const [n, queued] of batch.entries()) settle(queued, results[n]);
    } catch (error) {
      for (const { reject } of batch) for (const rejectOne of reject) rejectOne(error);
    }
  }

  /**
   * Retries after deadlocks. The order of the rows prevents deadlocks between marks, but not with other statements that
   * lock the same rows.
   */
  async function writeWithRetries(writes: readonly PositionWrite[]): Promise<(WrittenPosition | undefined)[]> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await writePositions(store, writes);
      } catch (error) {
        if (attempt === maxAttempts || !isConflict(error)) throw error;
      }
    }
  }

  function settle({ write, resolve, reject }: QueuedWrite, written: WrittenPosition | undefined): void {
    if (!written) {
      for (const rejectOne of reject) rejectOne(new ChatError('NOT_FOUND'));
      return;
    }
    onWritten(write, written);
    for (const resolveOne of resolve) resolveOne(written);
  }

  return { write };
}

const toKey = ({ room_id, user }: PositionWrite) => `${room_id}/${user}`;

/**
 * Merges two writes into a write with the effect of both in order. Returns undefined if they differ in visibility or in
 * the claims of their tokens.
 */
export function mergeWrites(first: PositionWrite, second: PositionWrite): PositionWrite | undefined {
  const isAlike = first.isQuiet === second.isQuiet && first.entity === second.entity && first.level === second.level;
  if (!isAlike) return undefined;
  return {
    ...second,
    ...mergeMarks(first, second),
    muted: second.muted ?? first.muted,
    hidden: second.hidden ?? first.hidden,
  };
}

function mergeMarks(first: PositionWrite, second: PositionWrite): Pick<PositionWrite, 'seq' | 'force'> {
  if (second.seq === null) return { seq: first.seq, force: first.force };
  if (first.seq === null || second.force) return { seq: second.seq, force: second.force };
  return { seq: Math.max(first.seq, second.seq), force: first.force };
}
