import pLimit from 'p-limit';
import type { BusListener, RoomBus } from '../bus.ts';
import { ChatError } from '../errors.ts';
import type { RoomId } from '../ids.ts';
import { affectsRights } from '../log/change-kinds.ts';
import type { RightsCache } from '../log/rights-cache.ts';
import type { RoomLog } from '../log/room-log.ts';
import { runPeriodically, type TaskReport } from '../periodic.ts';
import type { FeedEvents } from './change-sequencer.ts';
import { RoomFeed } from './room-feed.ts';
import type { RoomObserver } from './room-observer.ts';
import type { Broadcaster, Subscriber } from './subscriber.ts';

/**
 * How long a feed without subscribers stays open: users often return, and subscribing to the bus again is expensive.
 */
const lingerMs = 5_000;

/**
 * The maximum number of feeds that are closed at once: if all connections of a node end in the same moment, thousands of
 * rooms become empty.
 */
const maxClosedAtOnce = 100;

/** Limits how many feeds read missed changes at the same time, so that after an outage messages can still be stored. */
const maxConcurrentRepairs = 4;

export interface FeedRegistry {
  /**
   * Returns the feed of the room, and opens it if necessary. The caller has to call `leave` when the subscriber leaves or
   * the join has failed, or `release` if the feed has removed the subscriber.
   */
  open(room: RoomId): RoomFeed;
  find(room: RoomId): RoomFeed | undefined;
  /** Removes the subscriber from the feed of the room, and releases the room. */
  leave(room: RoomId, subscriber: Subscriber): void;
  /** Closes the feed after a while if it has no subscribers. */
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
  const active = new Map<RoomId, RoomFeed>();
  /** The rooms without subscribers, and until when each lingers. Ordered by this time, because all linger equally long. */
  const lingering = new Map<RoomId, number>();
  let lingerTimer: NodeJS.Timeout | undefined;
  let isClosed = false;

  /** One function for all rooms, to save memory. */
  const onBusMessage: BusListener = (busMessage, origin) => {
    const room = busMessage.room_id;
    if (affectsRights(busMessage)) rights.invalidate(room);
    const feed = active.get(room);
    feed?.receive(busMessage, origin);
    if (feed?.hasEnded && active.get(room) === feed) closeRoom(room);
  };

  function closeRoom(room: RoomId): void {
    const feed = active.get(room);
    if (!feed) return;
    active.delete(room);
    lingering.delete(room);
    bus.unsubscribe(room, onBusMessage);
    feed.end();
  }

  function open(room: RoomId): RoomFeed {
    if (isClosed) throw new ChatError('UNAVAILABLE');
    const existing = active.get(room);
    if (existing && !existing.hasEnded) {
      lingering.delete(room);
      return existing;
    }
    closeRoom(room);
    const feed = new RoomFeed({ room, log: repairLog, broadcasters, observers, events });
    active.set(room, feed);
    bus.subscribe(room, onBusMessage);
    return feed;
  }

  /** Closes the room if it is still empty after a while, and no observer needs its feed. */
  function closeLater(room: RoomId): void {
    lingering.set(room, performance.now() + lingerMs);
    scheduleClosing();
  }

  function scheduleClosing(): void {
    if (lingerTimer) return;
    for (const until of lingering.values()) {
      lingerTimer = setTimeout(closeLingering, Math.max(1, until - performance.now())).unref();
      return;
    }
  }

  function closeLingering(): void {
    lingerTimer = undefined;
    const now = performance.now();
    let remaining = maxClosedAtOnce;
    for (const [room, until] of lingering) {
      if (until > now || remaining-- === 0) break;
      lingering.delete(room);
      if (!active.get(room)?.isEmpty) continue;
      if (observers.some((observer) => observer.needsFeed(room))) lingering.set(room, now + lingerMs);
      else closeRoom(room);
    }
    scheduleClosing();
  }

  function release(room: RoomId): void {
    const feed = active.get(room);
    if (!feed?.isEmpty || lingering.has(room)) return;
    // No join has succeeded, so the room may not even exist. Its feed is closed at once: otherwise a client could
    // make the node keep many useless feeds.
    if (feed.hasStarted) closeLater(room);
    else closeRoom(room);
  }

  async function reconcile(rooms: readonly RoomId[] = [...active.keys()]): Promise<void> {
    if (rooms.length === 0) return;
    const revsBefore = new Map(rooms.map((room) => [room, active.get(room)?.position?.rev ?? 0]));
    const heads = await log.heads(rooms);
    events.recovered();
    for (const room of rooms) {
      const feed = active.get(room);
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
    find: (room) => active.get(room),
    leave(room, subscriber) {
      active.get(room)?.leave(subscriber);
      release(room);
    },
    release,
    get size() {
      return active.size;
    },
    close() {
      isClosed = true;
      unsubscribeMissed();
      stopReconciling();
      clearTimeout(lingerTimer);
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
