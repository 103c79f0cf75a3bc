import pLimit from 'p-limit';
import type { Actor } from '../../core/authorization.ts';
import type { SocketConnection } from '../../core/connections.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomId, Uuid } from '../../core/ids.ts';
import type { InboxItem, InboxPosition, ListedRoom } from '../../core/inbox-item.ts';
import { createJournalCleanup, type Poll, touchKinds } from '../../core/log/journal.ts';
import { createJournalPoller } from '../../core/log/journal-poller.ts';
import { runPeriodically, type TaskReport } from '../../core/periodic.ts';
import type { Statement, Store } from '../../database/store.ts';
import { createDueItems } from './due-items.ts';
import { DueQueue, type InboxTimeouts, inboxTimeouts } from './due-queue.ts';
import { listInboxRooms } from './list-rooms.ts';
import { type Grantee, Watcher, WatcherIndex } from './watchers.ts';

/** A higher maximum would delay messages while all clients of the node reconnect. */
const maxConcurrentOpenings = 4;
/** `runPeriodically` varies the interval by 25 %, so cleanups are at least 60 s apart. */
const cleanupIntervalMs = 80_000;
/** After a gap in the journal, all rooms are read again, spread over this time. */
const rereadMs = 5_000;
const granteesPerStep = 100;

const roomsOfGranteesStatement: Statement = {
  name: 'rooms_of_grantees',
  text: `select grantee::text as grantee, array_agg(room_id::float8) as rooms from (
      select p.grantee, p.room_id from permission_rules p where p.grantee = any($1::uuid[])
      union select r.entity_owner, r.id from rooms r where r.entity_owner = any($1::uuid[])
    ) x group by grantee`,
};

export interface InboxEvents extends TaskReport {
  /** An item was sent, at most this many seconds after the commit. */
  delivered(seconds: number): void;
  /** A poll has found this many rows of the journal. */
  polled(rows: number): void;
}

export interface InboxPage {
  rooms: InboxItem[];
  next: string | null;
}

interface PageQuery {
  after?: InboxPosition | null | undefined;
  limit: number;
  hidden: boolean;
}

/** The open inboxes of this node. */
export interface Inbox {
  /**
   * Opens the inbox of a connection, or restarts it if it is open. `acknowledge` is called before anything else is
   * sent.
   */
  open(
    connection: SocketConnection,
    limit: number,
    acknowledge: (page: InboxPage & { unread_rooms: RoomId[] }) => void,
  ): Promise<void>;
  page(connection: SocketConnection, query: PageQuery, acknowledge: (page: InboxPage) => void): Promise<void>;
  closeFor(connection: SocketConnection): void;
  /** Returns the same items to a client that does not keep an inbox open. The first page includes `unread_rooms`. */
  list(actor: Actor, query: PageQuery): Promise<{ rooms: ListedRoom[]; next: string | null; unread_rooms?: RoomId[] }>;
  /** The number of open inboxes. */
  readonly size: number;
  /** The time between two items of the same room in an inbox, at the current load. */
  readonly intervalMs: number;
  /** Rows in the journal. */
  readonly journalRows: number;
  close(): void;
}

interface Collaborators {
  store: Pick<Store, 'query' | 'onJournalWrite'>;
  /** 0 means no limit. */
  itemsPerSecond: number;
  events: InboxEvents;
  timeouts?: Partial<InboxTimeouts> | undefined;
}

interface OpenInbox {
  watcher: Watcher;
  stopObserving: () => void;
}

export function createInbox({ store, itemsPerSecond, events, timeouts }: Collaborators): Inbox {
  const { eventMs, roomMs, pollMs } = { ...inboxTimeouts, ...timeouts };
  const index = new WatcherIndex();
  const queue = new DueQueue(itemsPerSecond, { eventMs, roomMs });
  const due = createDueItems({ store, index, queue, eventMs, events });
  const poller = createJournalPoller({
    store,
    isNeeded: () => index.watchers.size > 0,
    chooseIntervalMs: () => pollMs * (0.9 + Math.random() / 5),
    onPoll,
    events,
  });
  const cleanup = createJournalCleanup(store);
  const open = new Map<SocketConnection, OpenInbox>();
  const openings = pLimit(maxConcurrentOpenings);
  let isClosed = false;

  function onPoll({ touches, hasGap, since }: Poll): void {
    events.polled(touches.length);
    for (const [what, room, uuid] of touches) markDue(what, room, uuid, since);
    if (hasGap) void reread();
    due.drain();
  }

  function markDue(what: number, room: RoomId, uuid: Uuid | null, since: number): void {
    const named = uuid === null ? undefined : index.find(uuid);
    if (named) {
      if (what <= touchKinds.rule) index.addRoom(named, room);
      for (const watcher of named.watchers) queue.add(watcher, room, since);
    }
    // A rule or a position concerns only its grantee.
    if (what >= touchKinds.rule) return;
    for (const grantee of index.findGrantees(room)) {
      for (const watcher of grantee.watchers) queue.add(watcher, room, since);
    }
  }

  // After a gap in the journal, it is unknown what has changed in the meantime, so everything is read again.
  let rereads = 0;

  async function reread(): Promise<void> {
    const run = ++rereads;
    due.forget();
    const grantees = [...index.grantees];
    const steps = Math.ceil(grantees.length / granteesPerStep);
    for (let step = 0; step < steps && run === rereads && !isClosed; step++) {
      const some = grantees.slice(step * granteesPerStep, (step + 1) * granteesPerStep);
      try {
        await loadRooms(some);
      } catch (error) {
        events.failed(error);
        await sleep(pollMs);
        step -= 1;
        continue;
      }
      const since = performance.now();
      for (const { rooms, watchers } of some) {
        for (const watcher of watchers) {
          for (const room of rooms) queue.add(watcher, room, since);
          for (const room of watcher.sentAt.keys()) queue.add(watcher, room, since);
        }
      }
      due.drain();
      await sleep(rereadMs / steps);
    }
  }

  async function loadRooms(grantees: readonly Grantee[]): Promise<void> {
    const rows = await store.query<{ grantee: Uuid; rooms: RoomId[] }>(roomsOfGranteesStatement, [
      grantees.map(({ uuid }) => uuid),
    ]);
    for (const { grantee: uuid, rooms } of rows) {
      const grantee = index.find(uuid);
      if (grantee) for (const room of rooms) index.addRoom(grantee, room);
    }
  }

  function loadEntity(watcher: Watcher): Promise<void> | undefined {
    const grantee = watcher.entity === null ? undefined : index.find(watcher.entity);
    if (!grantee) return undefined;
    grantee.loading ??= loadRooms([grantee]).catch((error) => {
      grantee.loading = undefined;
      throw error;
    });
    return grantee.loading;
  }

  function closeFor(connection: SocketConnection): void {
    const entry = open.get(connection);
    if (!entry) return;
    open.delete(connection);
    entry.stopObserving();
    const { watcher } = entry;
    watcher.hasEnded = true;
    queue.remove(watcher);
    index.remove(watcher);
  }

  function register(connection: SocketConnection): Watcher {
    closeFor(connection);
    const watcher = new Watcher(connection);
    const entry: OpenInbox = { watcher, stopObserving: () => {} };
    open.set(connection, entry);
    index.add(watcher);
    entry.stopObserving = connection.observe({
      onEnd: () => closeFor(connection),
      onRenew(previous) {
        const { entity, level } = connection.actor;
        if (entity === previous.entity && level === previous.level) return;
        closeFor(connection);
        connection.emit('inbox:reset', {});
      },
    });
    return watcher;
  }

  const stopCleanup = runPeriodically(cleanupIntervalMs, () => cleanup.run(), {
    failed: (error) => events.failed(error),
    recovered: () => {},
  });

  return {
    open: (connection, limit, acknowledge) =>
      openings(async () => {
        const watcher = register(connection);
        try {
          await due.readAlone(watcher, async () => {
            if (watcher.hasEnded) throw new ChatError('UNAVAILABLE');
            await poller.start();
            const query = { limit, hidden: false, withUnread: true, rights: 'r' } as const;
            const { actor } = connection;
            const [page] = await Promise.all([
              listInboxRooms(store, actor, query, (reading) => reading.toItem(connection.actor)),
              loadEntity(watcher),
            ]);
            if (watcher.hasEnded) throw new ChatError('UNAVAILABLE');
            const { rooms, next, unread_rooms, ownRooms } = page;
            const own = index.find(watcher.user)!;
            for (const room of ownRooms) index.addRoom(own, room);
            for (const room of [...unread_rooms, ...rooms.map(({ id }) => id)]) watcher.sentAt.set(room, 0);
            acknowledge({ rooms, next, unread_rooms });
          });
        } catch (error) {
          if (open.get(connection)?.watcher === watcher) closeFor(connection);
          throw error;
        }
      }),
    async page(connection, query, acknowledge) {
      const watcher = open.get(connection)?.watcher;
      if (!watcher)
        throw new ChatError('BAD_REQUEST', { message: 'No inbox is open on this connection; open it first' });
      await due.readAlone(watcher, async () => {
        const { rooms, next } = await listInboxRooms(
          store,
          connection.actor,
          { ...query, withUnread: false, rights: 'r' },
          (reading) => reading.toItem(connection.actor),
        );
        if (watcher.hasEnded) throw new ChatError('UNAVAILABLE');
        for (const { id } of rooms) if (!watcher.sentAt.has(id)) watcher.sentAt.set(id, 0);
        acknowledge({ rooms, next });
      });
    },
    closeFor,
    async list(actor, query) {
      const withUnread = !query.after;
      const { rooms, next, unread_rooms } = await openings(() =>
        listInboxRooms(store, actor, { ...query, withUnread, rights: 'rw' }, (reading) => reading.toListed(actor)),
      );
      return { rooms, next, ...(withUnread && { unread_rooms }) };
    },
    get size() {
      return open.size;
    },
    get intervalMs() {
      return queue.intervalMs;
    },
    get journalRows() {
      return cleanup.rows;
    },
    close() {
      isClosed = true;
      poller.close();
      due.close();
      stopCleanup();
    },
  };
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms).unref());
