import type { RoomId } from '../../core/ids.ts';
import type { InboxItem } from '../../core/inbox-item.ts';
import type { Store } from '../../database/store.ts';
import type { DueItem, DueQueue } from './due-queue.ts';
import { createCrowds, readItems } from './read-items.ts';
import type { Reader, RoomReading } from './room-reading.ts';
import type { Watcher, WatcherIndex } from './watchers.ts';

const retryMs = 450;

/**
 * After each statement, the node waits this many times as long as the statement and its events took. The more
 * there is to do, the more inboxes share the next statement, which reads each room once for all of them, and the less it
 * delays messages.
 */
const delayFactor = 4;
const maxDelayMs = 150;

/** Reads the items that are due and sends them to the inboxes. One statement at a time reads them. */
export interface DueItems {
  /** Reads what is due now, and later what becomes due. */
  drain(): void;
  /**
   * Calls `read` when no item of the watcher is being read, and reads none until `read` has ended. The result is
   * therefore not older than the items that the watcher has received.
   */
  readAlone<T>(watcher: Watcher, read: () => Promise<T>): Promise<T>;
  /** Makes later reads independent of earlier ones, because the database may have lost changes. */
  forget(): void;
  close(): void;
}

interface Collaborators {
  store: Pick<Store, 'query'>;
  index: WatcherIndex;
  queue: DueQueue;
  /** The minimum time between two events of an inbox. */
  eventMs: number;
  events: {
    /** An item was sent, at most this many seconds after the commit. */
    delivered(seconds: number): void;
    failed(error: unknown): void;
  };
}

export function createDueItems({ store, index, queue, eventMs, events }: Collaborators): DueItems {
  const crowds = createCrowds();
  let timer: NodeJS.Timeout | undefined;
  let isDraining = false;
  let isClosed = false;
  let batch: Promise<void> | undefined;

  function drain(): void {
    if (!isDraining && !isClosed) void readDue();
  }

  async function readDue(): Promise<void> {
    isDraining = true;
    clearTimeout(timer);
    let waitMs = Number.POSITIVE_INFINITY;
    for (;;) {
      const { items, nextAt } = queue.take(performance.now());
      if (items.length === 0) {
        waitMs = nextAt - performance.now();
        break;
      }
      const startedAt = performance.now();
      try {
        batch = readAndEmit(items);
        await batch;
      } catch (error) {
        queue.restore(items);
        events.failed(error);
        waitMs = retryMs;
        break;
      } finally {
        batch = undefined;
      }
      await pause(Math.min(maxDelayMs, delayFactor * (performance.now() - startedAt)));
      if (isClosed) break;
    }
    if (waitMs !== Number.POSITIVE_INFINITY) timer = setTimeout(drain, Math.max(1, waitMs)).unref();
    isDraining = false;
  }

  async function readAndEmit(items: readonly DueItem[]): Promise<void> {
    const wanted = new Map<RoomId, Reader[]>();
    for (const { watcher, room } of items) {
      const readers = wanted.get(room) ?? [];
      readers.push(watcher);
      wanted.set(room, readers);
    }
    const readings = await readItems(store, wanted, crowds);
    for (const [room, readers] of wanted) updateIndex(room, readers, readings.get(room));
    for (const [watcher, own] of Map.groupBy(items, (item) => item.watcher)) emitItems(watcher, own, readings);
  }

  /** Updates which grantees the room still concerns. */
  function updateIndex(room: RoomId, readers: readonly Reader[], reading: RoomReading | undefined): void {
    if (!reading) {
      for (const grantee of [...index.findGrantees(room)]) index.removeRoom(grantee, room);
      return;
    }
    for (const uuid of new Set(readers.flatMap(({ user, entity }) => [user, entity]))) {
      const grantee = uuid === null ? undefined : index.find(uuid);
      if (!grantee) continue;
      if (reading.concerns(grantee.uuid)) index.addRoom(grantee, room);
      else index.removeRoom(grantee, room);
    }
  }

  function emitItems(watcher: Watcher, items: readonly DueItem[], readings: ReadonlyMap<RoomId, RoomReading>): void {
    const now = performance.now();
    watcher.nextAt = now;
    if (watcher.hasEnded) return;
    const { connection, sentAt } = watcher;
    const changed: InboxItem[] = [];
    for (const { room, since } of items) {
      const reading = readings.get(room);
      const item = reading?.toItem(connection.actor);
      if (item) {
        changed.push(item);
        sentAt.set(room, now);
        events.delivered((now - since) / 1_000);
      } else if (sentAt.delete(room)) {
        const code = reading ? reading.decide(connection.actor).denialReason! : 'ROOM_DELETED';
        connection.emit('inbox:removed', { room_id: room, code });
      }
    }
    if (changed.length === 0) return;
    watcher.nextAt = now + eventMs;
    connection.emit('inbox:changed', { items: changed });
  }

  return {
    drain,
    async readAlone(watcher, read) {
      watcher.isReading = true;
      try {
        await batch?.catch(() => {});
        return await read();
      } finally {
        watcher.isReading = false;
        drain();
      }
    },
    forget: () => crowds.clear(),
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms).unref());
