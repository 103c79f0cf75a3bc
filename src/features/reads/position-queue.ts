import { type Actor, authorize, can, type Decision, toDenialCode } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import type { RightsCache } from '../../core/log/rights-cache.ts';
import type { RoomLog } from '../../core/log/room-log.ts';
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
  /** Resolves when the write is stored. Throws an error if the actor may not read the room. */
  write(write: PositionWrite, actor: Actor): Promise<WrittenPosition>;
}

interface QueuedWrite {
  write: PositionWrite;
  actor: Actor;
  resolve: ((written: WrittenPosition) => void)[];
  reject: ((error: unknown) => void)[];
}

interface Collaborators {
  store: Pick<Store, 'query'>;
  log: Pick<RoomLog, 'snapshot'>;
  rights: Pick<RightsCache, 'load' | 'invalidate'>;
  /** Called for each stored write, before it is acknowledged. */
  onWritten(write: PositionWrite, written: WrittenPosition): void;
  events: PositionEvents;
}

const defaultLimits = { maxQueued: 20_000, maxBatch: 500 };
const maxAttempts = 3;

/**
 * Commits all writes that arrived during the previous commit, in one statement. Several writes of one user in one room
 * become one. The queue authorizes users with cached rules, and the database checks that these rules are current. If
 * they are not, the queue authorizes again.
 */
export function createPositionQueue(
  { store, log, rights, onWritten, events }: Collaborators,
  limits = defaultLimits,
): PositionQueue {
  let queue: QueuedWrite[] = [];
  /** The last queued write of each user and room. */
  const lastByKey = new Map<string, QueuedWrite>();
  let isRunning = false;

  function write(given: PositionWrite, actor: Actor): Promise<WrittenPosition> {
    return new Promise((resolve, reject) => {
      const key = toKey(given);
      const last = lastByKey.get(key);
      const merged = last && mergeWrites(last.write, given);
      if (merged) {
        last.write = merged;
        last.actor = actor;
        last.resolve.push(resolve);
        last.reject.push(reject);
        events.merged();
        return;
      }
      if (queue.length >= limits.maxQueued) {
        const message = 'The server has too many marks in its queue, retry later';
        return reject(new ChatError('UNAVAILABLE', { message, retryAfterMs: 1_000 }));
      }
      const queued = { write: given, actor, resolve: [resolve], reject: [reject] };
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
      const cached = await rights.load([...new Set(batch.map(({ write }) => write.room_id))]);
      let allowed = await authorizeBatch(batch, ({ actor, write }) => cached.get(write.room_id)?.decide(actor));
      const rightsRevs = allowed.map(({ write }) => cached.get(write.room_id)?.rightsRev ?? -1);
      let results = await writeWithRetries(allowed, rightsRevs);
      if (!results) {
        for (const { write } of allowed) rights.invalidate(write.room_id);
        allowed = await authorizeBatch(allowed, () => undefined);
        results = await writeWithRetries(allowed, null);
      }
      if (allowed.length === 0) return;
      events.committed(allowed.length, (performance.now() - startedAt) / 1_000);
      for (const [n, queued] of allowed.entries()) settle(queued, results?.[n]);
    } catch (error) {
      // The requests that are already answered ignore this.
      for (const queued of batch) rejectAll(queued, error);
    }
  }

  /**
   * Rejects the writes of users who may not read the room, and returns the others. Cached rules may be outdated, so only
   * current ones reject a write.
   */
  async function authorizeBatch(
    batch: readonly QueuedWrite[],
    decideCached: (queued: QueuedWrite) => Decision | undefined,
  ): Promise<QueuedWrite[]> {
    const authorized = await Promise.all(
      batch.map(async (queued) => {
        const decision = decideCached(queued);
        if (decision && can(decision, 'read')) return queued;
        const snapshot = await log.snapshot(queued.write.room_id);
        const current = snapshot && authorize(queued.actor, snapshot.room, snapshot.rules);
        if (current && can(current, 'read')) return queued;
        rejectAll(queued, new ChatError(current ? toDenialCode(current) : 'NOT_FOUND'));
        return undefined;
      }),
    );
    return authorized.filter((queued) => queued !== undefined);
  }

  /**
   * Retries after deadlocks. The order of the rows prevents deadlocks between marks, but not with other statements that
   * lock the same rows.
   */
  async function writeWithRetries(batch: readonly QueuedWrite[], rightsRevs: readonly number[] | null) {
    if (batch.length === 0) return [];
    const writes = batch.map(({ write }) => write);
    for (let attempt = 1; ; attempt++) {
      try {
        return await writePositions(store, writes, rightsRevs);
      } catch (error) {
        if (attempt === maxAttempts || !isConflict(error)) throw error;
      }
    }
  }

  function settle(queued: QueuedWrite, written: WrittenPosition | undefined): void {
    if (!written) return rejectAll(queued, new ChatError('NOT_FOUND'));
    onWritten(queued.write, written);
    for (const resolveOne of queued.resolve) resolveOne(written);
  }

  return { write };
}

function rejectAll({ reject }: QueuedWrite, error: unknown): void {
  for (const rejectOne of reject) rejectOne(error);
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
