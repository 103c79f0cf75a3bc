import type { Actor } from '../../core/authorization.ts';
import type { ServerEventName, ServerEventPayloads } from '../../core/contract/socketio.ts';
import type { RoomId, Uuid } from '../../core/ids.ts';

/** The connection that has opened an inbox. */
export interface InboxConnection {
  /** The user, as described by their current token. */
  readonly actor: Actor;
  emit<N extends ServerEventName>(name: N, payload: ServerEventPayloads[N]): void;
}

/** An open inbox. */
export class Watcher {
  readonly connection: InboxConnection;
  readonly user: Uuid;
  readonly entity: Uuid | null;
  /** The rooms whose items have to be read, each with the time after which the first change was committed. */
  readonly due = new Map<RoomId, number>();
  /** The rooms that the client knows, each with the time of its last `inbox:changed`. */
  readonly sentAt = new Map<RoomId, number>();
  /** When the next `inbox:changed` may be sent. */
  nextAt = 0;
  /**
   * Whether a page is being read. No items are read until the page has been sent. Otherwise the client could receive an
   * item before an older version of it in the page.
   */
  isReading = true;
  hasEnded = false;

  constructor(connection: InboxConnection) {
    this.connection = connection;
    this.user = connection.actor.user;
    this.entity = connection.actor.entity === connection.actor.user ? null : connection.actor.entity;
  }

  addDue(room: RoomId, since: number): void {
    if (!this.due.has(room)) this.due.set(room, since);
  }
}

/**
 * A user or an organisation of open inboxes on this node, with the rooms in which a rule or their ownership concerns
 * them.
 */
export class Grantee {
  readonly uuid: Uuid;
  readonly watchers = new Set<Watcher>();
  /** Contains no duplicates, but may contain rooms that `WatcherIndex` no longer has for this grantee. */
  readonly rooms: RoomId[] = [];
  /** Resolves when the rooms of an organisation have been read. */
  loading: Promise<void> | undefined;

  constructor(uuid: Uuid) {
    this.uuid = uuid;
  }
}

/**
 * Finds the open inboxes that a change concerns. The rooms of an organisation are indexed once, not once per inbox.
 * Most rooms concern only one grantee on this node; these rooms map to the grantee itself instead of a set.
 */
export class WatcherIndex {
  readonly watchers = new Set<Watcher>();
  readonly #grantees = new Map<Uuid, Grantee>();
  readonly #byRoom = new Map<RoomId, Grantee | Set<Grantee>>();

  find(uuid: Uuid): Grantee | undefined {
    return this.#grantees.get(uuid);
  }

  get grantees(): Iterable<Grantee> {
    return this.#grantees.values();
  }

  /** Adds the watcher to its user and its organisation. */
  add(watcher: Watcher): void {
    this.watchers.add(watcher);
    for (const uuid of [watcher.user, watcher.entity]) {
      if (uuid === null) continue;
      const grantee = this.#grantees.get(uuid) ?? new Grantee(uuid);
      this.#grantees.set(uuid, grantee);
      grantee.watchers.add(watcher);
    }
  }

  remove(watcher: Watcher): void {
    this.watchers.delete(watcher);
    for (const uuid of [watcher.user, watcher.entity]) {
      const grantee = uuid === null ? undefined : this.#grantees.get(uuid);
      if (!grantee?.watchers.delete(watcher) || grantee.watchers.size > 0) continue;
      this.#grantees.delete(grantee.uuid);
      for (const room of grantee.rooms) this.removeRoom(grantee, room);
    }
  }

  addRoom(grantee: Grantee, room: RoomId): void {
    if (this.#grantees.get(grantee.uuid) !== grantee) return;
    const known = this.#byRoom.get(room);
    if (known === grantee || (known instanceof Set && known.has(grantee))) return;
    if (known instanceof Set) known.add(grantee);
    else this.#byRoom.set(room, known ? new Set([known, grantee]) : grantee);
    grantee.rooms.push(room);
  }

  removeRoom(grantee: Grantee, room: RoomId): void {
    const known = this.#byRoom.get(room);
    if (known === grantee) this.#byRoom.delete(room);
    else if (known instanceof Set && known.delete(grantee) && known.size === 0) this.#byRoom.delete(room);
  }

  findGrantees(room: RoomId): Iterable<Grantee> {
    const known = this.#byRoom.get(room);
    if (!known) return [];
    return known instanceof Set ? known : [known];
  }
}
