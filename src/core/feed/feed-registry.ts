import pLimit from 'p-limit';
import type { RoomBus } from '../bus.ts';
import { ChatError } from '../errors.ts';
import type { RoomId } from '../ids.ts';
import { affectsRights } from '../log/change-kinds.ts';
import type { RightsCache } from '../log/rights-cache.ts';
import type { RoomLog } from '../log/room-log.ts';
import { runPeriodically, type TaskReport } from '../periodic.ts';
import type { FeedEvents } from './change-sequencer.ts';
import { RoomFeed } from './room-feed.ts';
import type { RoomObserver } from './room-observer.ts';
import type { Broadcaster } from './subscriber.ts';

/**
 * How long a feed without subscribers stays open: users often return, and subscribing to the bus again is expensive.
 */
const lingerMs = 5_000;

/** Limits how many feeds read missed changes at the same time, so that after an outage messages can still be stored. */
const maxConcurrentRepairs = 4;

interface ActiveRoom {
  feed: RoomFeed;
  unsubscribe: () => void;
  lingerTimer?: NodeJS.Timeout | undefined;
}

export interface FeedRegistry {
  /**
   * Returns the feed of the room, and opens it if necessary. The caller has to call `release` when the subscriber has
   * left or the join has failed.
   */
  open(room: RoomId): RoomFeed;
  find(room: RoomId): RoomFeed | undefined;
  release(room: RoomId): void;
  /** Compares each feed with the head of its log. A feed that is behind then reads the missed changes. */
  reconcile(): Promise<void>;
  readonly size: number;
  close(): void;
}

interface Collaborators {
  log: RoomLog;
  bus: RoomBus;
  rights: RightsCache;
  broadcasters: readonly Broadcaster[];
  observers?: readonly RoomObserver[];
  reconcileIntervalMs: number;
  events: FeedEvents & TaskReport;
}

export function createFeedRegistry({
  log,
  bus,
  rights,
  broadcasters,
  observers = [],
  reconcileIntervalMs,
  events,
}: Collaborators): FeedRegistry {
  const repairLimit = pLimit(maxConcurrentRepairs);
  const repairLog: Pick<RoomLog, 'changes'> = {
    changes: (...page) => repairLimit(() => log.changes(...page)),
  };
  const active = new Map<RoomId, ActiveRoom>();
  let isClosed = false;

  function closeRoom(room: RoomId): void {
    const entry = active.get(room);
    if (!entry) return;
    active.delete(room);
    clearTimeout(entry.lingerTimer);
    entry.unsubscribe();
    entry.feed.end();
  }

  function open(room: RoomId): RoomFeed {
    if (isClosed) throw new ChatError('UNAVAILABLE');
    const entry = active.get(room);
    if (entry && !entry.feed.hasEnded) {
      clearTimeout(entry.lingerTimer);
      entry.lingerTimer = undefined;
      return entry.feed;
    }
    closeRoom(room);
    const feed = new RoomFeed({ room, log: repairLog, broadcasters, observers, events });
    const unsubscribe = bus.subscribe(room, (busMessage, origin) => {
      if (affectsRights(busMessage)) rights.invalidate(room);
      feed.receive(busMessage, origin);
      if (feed.hasEnded && active.get(room)?.feed === feed) closeRoom(room);
    });
    active.set(room, { feed, unsubscribe });
    return feed;
  }

  /** Closes the room if it is still empty after a while, and no observer needs its feed. */
  function closeLater(room: RoomId, entry: ActiveRoom): void {
    entry.lingerTimer = setTimeout(() => {
      entry.lingerTimer = undefined;
      if (!entry.feed.isEmpty) return;
      if (observers.some((observer) => observer.needsFeed(room))) closeLater(room, entry);
      else closeRoom(room);
    }, lingerMs).unref();
  }

  async function reconcile(rooms: readonly RoomId[] = [...active.keys()]): Promise<void> {
    if (rooms.length === 0) return;
    const revsBefore = new Map(rooms.map((room) => [room, active.get(room)?.feed.position?.rev ?? 0]));
    const heads = await log.heads(rooms);
    events.recovered();
    for (const room of rooms) {
      const feed = active.get(room)?.feed;
      const head = heads.get(room);
      if (head !== undefined && head < revsBefore.get(room)!) {
        events.failed(new Error(`The log of room ${room} went back to rev ${head}: the database has lost changes`));
        rights.invalidate(room);
        feed?.reset();
      } else {
        feed?.reconcile(head);
      }
      if (feed?.hasEnded) closeRoom(room);
    }
  }

  const stopReconciling = runPeriodically(reconcileIntervalMs, () => reconcile(), {
    failed: (error) => events.failed(error),
    recovered: () => {},
  });

  /** Rooms that miss messages while a reconciliation runs are reconciled together in the next run. */
  const reconcileNow = batchRuns<RoomId>((rooms) => reconcile(rooms).catch((error) => events.failed(error)));
  const unsubscribeMissed = bus.onMissed((rooms = [...active.keys()]) => reconcileNow(rooms));

  return {
    open,
    reconcile: () => reconcile(),
    find: (room) => active.get(room)?.feed,
    release(room) {
      const entry = active.get(room);
      if (!entry?.feed.isEmpty || entry.lingerTimer) return;
      // No join has succeeded, so the room may not even exist. Its feed is closed at once: otherwise a client could
      // make the node keep many useless feeds.
      if (!entry.feed.hasStarted) return closeRoom(room);
      closeLater(room, entry);
    },
    get size() {
      return active.size;
    },
    close() {
      isClosed = true;
      unsubscribeMissed();
      stopReconciling();
      for (const room of [...active.keys()]) closeRoom(room);
    },
  };
}

/**
 * Returns a function that runs `task` for the given items, one run at a time. Items that arrive during a run wait for
 * the next run.
 */
function batchRuns<T>(task: (items: readonly T[]) => Promise<void>): (items: readonly T[]) => void {
  const queued = new Set<T>();
  let isRunning = false;

  async function run(): Promise<void> {
    isRunning = true;
    while (queued.size > 0) {
      const items = [...queued];
      queued.clear();
      await task(items);
    }
    isRunning = false;
  }

  return (items) => {
    for (const item of items) queued.add(item);
    if (!isRunning) void run();
  };
}
