import type { RoomId } from '../../core/ids.ts';
import { runPeriodically, type TaskReport } from '../../core/periodic.ts';
import { type Lease, type LeaseTimeouts, openLease } from '../../database/lease.ts';
import type { Statement, Store } from '../../database/store.ts';

/** Step 0 removes the rules of a room, and step 1 its messages; see the migration of `deleted_rooms`. */
const waitingStatement: Statement = {
  name: 'deleted_rooms',
  text: `select count(*)::float8 as rooms,
      coalesce(sum(case step when 0 then last_seq when 1 then greatest(0, last_seq - coalesce(after[1]::bigint, 0)) else 0 end), 0)::float8 as messages,
      coalesce(extract(epoch from clock_timestamp() - min(deleted_at)) * 1000, 0)::float8 as "oldestMs"
    from deleted_rooms`,
};

const removeStatement: Statement = {
  name: 'remove_deleted_rows',
  text: 'select o_room::float8 as room, o_rows::float8 as rows, o_is_done as "isDone" from remove_deleted_rows($1::int)',
};

const leaseName = 'deleted rooms';

const minRows = 50;
const maxRows = 2_000;
const firstRows = 500;

export interface RowRemovalTimeouts extends LeaseTimeouts {
  /** How often each node looks for rooms that other nodes have deleted. */
  lookMs: number;
  /** How long a statement should take. The number of rows is adapted to it. */
  statementMs: number;
}

const defaultTimeouts: RowRemovalTimeouts = { lookMs: 30_000, leaseMs: 10_000, renewMs: 3_000, statementMs: 20 };

/** After a statement, the node waits this many times as long as it took, so that others come first. */
const delayFactor = 2;
/** The timer keeps the process alive, so that the database is closed after it. */
const maxDelayMs = 1_000;

interface Waiting {
  /** Deleted rooms that still have rows. */
  rooms: number;
  messages: number;
  /** The time since the first of them was deleted. */
  oldestMs: number;
}

/**
 * Removes the rows of deleted rooms in small parts. One node at a time does it for all nodes. If it dies, another node
 * continues.
 */
export interface RowRemoval {
  /** Looks for deleted rooms, now and from time to time. */
  open(): void;
  /** Call this after this node has deleted a room. */
  wake(): void;
  /** The rooms that waited when this node last looked. */
  readonly waiting: Waiting;
  /** The rows that this node has removed. */
  readonly removedRows: number;
  /** Ends after the statement that is being executed. */
  close(): Promise<void>;
}

interface Collaborators {
  store: Pick<Store, 'query' | 'isExclusive'>;
  nodeName: string;
  events: TaskReport & {
    /** No rows of the room are left. */
    removed(room: RoomId): void;
  };
  timeouts?: Partial<RowRemovalTimeouts> | undefined;
}

export function createRowRemoval({ store, nodeName, events, timeouts: given }: Collaborators): RowRemoval {
  const timeouts = { ...defaultTimeouts, ...given };
  const { lookMs, statementMs } = timeouts;
  let waiting: Waiting = { rooms: 0, messages: 0, oldestMs: 0 };
  let lookedAt = performance.now();
  let removedRows = 0;
  let lease: Lease | undefined;
  let working: Promise<void> | undefined;
  let hasNews = false;
  let isClosed = false;
  let stopLooking = () => {};

  async function readWaiting(): Promise<void> {
    const [row] = await store.query<Waiting>(waitingStatement, []);
    waiting = row!;
    lookedAt = performance.now();
  }

  async function look(): Promise<void> {
    if (isClosed) return;
    await readWaiting();
    if (waiting.rooms > 0) compete();
    // Another node has removed the rows while this one competed for the lease.
    else if (lease && !working) await giveUp();
  }

  function compete(): void {
    if (lease || isClosed) return;
    lease = openLease({
      ...{ store, name: leaseName, holder: nodeName, timeouts },
      onAcquired(token) {
        working = work(token).finally(() => {
          working = undefined;
        });
      },
      // A statement that is still being executed does no harm: the function locks the room that it works on.
      onLost() {},
      onError: events.failed,
    });
  }

  async function giveUp(): Promise<void> {
    const ended = lease;
    lease = undefined;
    await ended?.close();
  }

  async function work(token: string): Promise<void> {
    try {
      let rows = firstRows;
      while (lease?.token === token && !isClosed) {
        hasNews = false;
        const begunAt = performance.now();
        const [part] = await store.query<{ room: RoomId; rows: number; isDone: boolean }>(removeStatement, [rows]);
        const tookMs = performance.now() - begunAt;
        if (!part) break;
        removedRows += part.rows;
        if (part.isDone) events.removed(part.room);
        rows = adapt(rows, tookMs, statementMs);
        await new Promise((resolve) => setTimeout(resolve, Math.min(tookMs * delayFactor, maxDelayMs)));
      }
      events.recovered();
      if (lease?.token !== token) return;
      await giveUp();
      await readWaiting();
      // A room that is left is locked by another session. The node looks for it again later.
      if (hasNews) compete();
    } catch (error) {
      events.failed(error);
      await giveUp();
    }
  }

  return {
    open() {
      stopLooking = runPeriodically(lookMs, look, events);
      void look().catch(events.failed);
    },
    wake() {
      hasNews = true;
      if (!working) void look().catch(events.failed);
    },
    get waiting() {
      const { rooms, oldestMs } = waiting;
      return rooms === 0 ? waiting : { ...waiting, oldestMs: oldestMs + performance.now() - lookedAt };
    },
    get removedRows() {
      return removedRows;
    },
    async close() {
      isClosed = true;
      stopLooking();
      await working;
      await giveUp();
    },
  };
}

/** Fewer rows if a statement took too long, more if it was fast. */
function adapt(rows: number, tookMs: number, statementMs: number): number {
  const factor = tookMs > 2 * statementMs ? 0.5 : tookMs < statementMs / 2 ? 1.5 : 1;
  return Math.min(maxRows, Math.max(minRows, Math.round(rows * factor)));
}
