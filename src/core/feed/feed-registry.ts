import pLimit from 'p-limit';
import type { RoomBus } from '../bus.ts';
import { ChatError } from '../errors.ts';
import type { RoomId } from '../ids.ts';
import type { RightsCache } from '../log/rights-cache.ts';
import type { RoomLog } from '../log/room-log.ts';
import { sweepEvery, type TaskReport } from '../periodic.ts';
import type { FeedEvents } from './change-sequencer.ts';
import { type Audience, RoomFeed } from './room-feed.ts';

/** A room that everybody has left is served a little longer: people come back, and subscribing again costs. */
const lingerMs = 5_000;

/** Rooms that are read at once after an outage: the sends need the database, too. */
const mostRepairs = 4;

interface Served {
  feed: RoomFeed;
  unlisten: () => void;
  linger?: NodeJS.Timeout | undefined;
}

export interface RoomFeeds {
  /** The room's feed, opened where nobody was in the room. Call `release` when a join has failed or a member has left. */
  open(room: RoomId): RoomFeed;
  find(room: RoomId): RoomFeed | undefined;
  release(room: RoomId): void;
  /** Compares what is served here with the log, and lets the feeds fetch what they have missed. */
  sweep(): Promise<void>;
  readonly size: number;
  close(): void;
}

interface Collaborators {
  log: RoomLog;
  bus: RoomBus;
  rights: RightsCache;
  audiences: readonly Audience[];
  sweepMs: number;
  events: FeedEvents & TaskReport;
}

export function roomFeeds({ log, bus, rights, audiences, sweepMs, events }: Collaborators): RoomFeeds {
  const repairs = pLimit(mostRepairs);
  const repairLog: Pick<RoomLog, 'changes'> = {
    changes: (...page) => repairs(() => log.changes(...page)),
  };
  const served = new Map<RoomId, Served>();
  let closed = false;

  function close(room: RoomId): void {
    const entry = served.get(room);
    if (!entry) return;
    served.delete(room);
    clearTimeout(entry.linger);
    entry.unlisten();
    entry.feed.end();
  }

  function open(room: RoomId): RoomFeed {
    if (closed) throw new ChatError('UNAVAILABLE');
    const entry = served.get(room);
    if (entry && !entry.feed.hasEnded) {
      clearTimeout(entry.linger);
      entry.linger = undefined;
      return entry.feed;
    }
    close(room);
    const feed = new RoomFeed({ room, log: repairLog, audiences, events });
    const unlisten = bus.listen(room, (envelope, origin) => {
      if (envelope.kind !== 'message') rights.forget(room);
      feed.hear(envelope, origin);
      if (feed.hasEnded && served.get(room)?.feed === feed) close(room);
    });
    served.set(room, { feed, unlisten });
    return feed;
  }

  async function sweep(rooms: readonly RoomId[] = [...served.keys()]): Promise<void> {
    if (rooms.length === 0) return;
    const before = new Map(rooms.map((room) => [room, served.get(room)?.feed.position?.rev ?? 0]));
    const heads = await log.heads(rooms);
    events.recovered();
    for (const room of rooms) {
      const feed = served.get(room)?.feed;
      const head = heads.get(room);
      if (head !== undefined && head < before.get(room)!) {
        events.failed(new Error(`The log of room ${room} went back to rev ${head}: the database was restored`));
        rights.forget(room);
        feed?.startOver();
      } else {
        feed?.notice(head);
      }
      if (feed?.hasEnded) close(room);
    }
  }

  const stopSweeping = sweepEvery(sweepMs, () => sweep(), {
    failed: (error) => events.failed(error),
    recovered: () => {},
  });

  /** What is missed while a sweep runs is swept after it, all of it at once. */
  const sweepNow = inTurn<RoomId>((rooms) => sweep(rooms).catch((error) => events.failed(error)));
  const unlistenMissed = bus.onMissed((rooms = [...served.keys()]) => sweepNow(rooms));

  return {
    open,
    sweep: () => sweep(),
    find: (room) => served.get(room)?.feed,
    release(room) {
      const entry = served.get(room);
      if (!entry?.feed.isEmpty || entry.linger) return;
      // A feed that never had a member has nothing to keep: unknown rooms must not pile up.
      if (!entry.feed.hasStarted) return close(room);
      entry.linger = setTimeout(() => {
        entry.linger = undefined;
        if (entry.feed.isEmpty) close(room);
      }, lingerMs).unref();
    },
    get size() {
      return served.size;
    },
    close() {
      closed = true;
      unlistenMissed();
      stopSweeping();
      for (const room of [...served.keys()]) close(room);
    },
  };
}

/** Runs `task` over what is asked for, one run at a time; what is asked for meanwhile makes the next one. */
function inTurn<T>(task: (items: readonly T[]) => Promise<void>): (items: readonly T[]) => void {
  const waiting = new Set<T>();
  let isRunning = false;

  async function run(): Promise<void> {
    isRunning = true;
    while (waiting.size > 0) {
      const items = [...waiting];
      waiting.clear();
      await task(items);
    }
    isRunning = false;
  }

  return (items) => {
    for (const item of items) waiting.add(item);
    if (!isRunning) void run();
  };
}
