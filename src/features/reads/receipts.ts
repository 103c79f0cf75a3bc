import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Actor } from '../../core/authorization.ts';
import type { EphemeralBroadcaster, EphemeralBus } from '../../core/ephemeral.ts';
import type { FeedRegistry } from '../../core/feed/feed-registry.ts';
import type { RoomFeed } from '../../core/feed/room-feed.ts';
import { RoomId, Uuid } from '../../core/ids.ts';
import { Throttle } from '../../core/throttle.ts';
import { type ReadChanged, ReadReceipt } from './contract.ts';
import type { PositionWrite, WrittenPosition } from './write-positions.ts';

export interface ReceiptEvents {
  /** A `read:changed` was sent to the connections of a room, or to those of one user in it. */
  emitted(): void;
  /** Marks were published to the other nodes. */
  published(): void;
}

interface Collaborators {
  bus: Pick<EphemeralBus, 'publish' | 'subscribe'>;
  broadcasters: readonly EphemeralBroadcaster[];
  feeds: () => Pick<FeedRegistry, 'find'>;
  events: ReceiptEvents;
}

const topic = 'reads';
const intervalMs = 500;
const maxReads = 100;

/** How long a mark is remembered for joins whose snapshot does not contain it yet. */
const recentMs = 60_000;
const maxRecentRooms = 5_000;

/** A mark that is sent to the other nodes and to the connections. */
const Mark = ReadReceipt.extend({
  /** The claims of the user's token, which decide whether they may read. */
  entity: Uuid.nullable(),
  level: z.int(),
  /** Whether other users may see the mark. */
  isShared: z.boolean(),
});
export type Mark = z.infer<typeof Mark>;

const Published = z.object({ room_id: RoomId, marks: z.array(Mark).max(maxReads) });

type Marks = Map<Uuid, Mark>;

/**
 * Notifies the connections in a room of how far users have read. A mark is sent at most once. If it is lost, the next
 * mark makes up for it, because each mark contains the whole position. The `version` of a position only grows, so an
 * outdated mark can be recognized.
 */
export class Receipts {
  readonly #collaborators: Collaborators;
  readonly #pending = new Map<RoomId, Marks>();
  readonly #unpublished = new Map<RoomId, Marks>();
  readonly #recent = new LRUCache<RoomId, Marks>({ max: maxRecentRooms, ttl: recentMs });
  readonly #sending = new Throttle<RoomId>(intervalMs, (room) => this.#send(room));
  readonly #publishing = new Throttle<RoomId>(intervalMs, (room) => this.#publish(room));
  readonly #unsubscribe: () => void;

  constructor(collaborators: Collaborators) {
    this.#collaborators = collaborators;
    this.#unsubscribe = collaborators.bus.subscribe(topic, (body) => this.#receive(body));
  }

  onWritten({ room_id, seq, user, entity, level }: PositionWrite, written: WrittenPosition): void {
    const { read_seq, receipt_seq, version, hasChanged, hasReceipts } = written;
    if (!hasChanged || seq === null) return;
    // A mark that moved back, or that nobody may see, leaves `receipt_seq` where it is.
    const isShared = hasReceipts && receipt_seq === read_seq;
    const mark = { user, read_seq, version, entity, level, isShared };
    addMark(this.#unpublished, room_id, mark);
    this.#publishing.request(room_id);
    this.#deliver(room_id, mark);
  }

  /**
   * Returns what a connection may know when it joins: the stored positions, and the marks that this node has received
   * in the meantime. `mayRead` decides whose positions may be shown.
   */
  toPresent(room: RoomId, user: Uuid, positions: readonly Mark[], mayRead: (actor: Actor) => boolean): ReadReceipt[] {
    const present = new Map<Uuid, Mark>();
    for (const mark of [...positions, ...(this.#recent.get(room)?.values() ?? [])]) {
      const known = present.get(mark.user);
      if (known && known.version >= mark.version) continue;
      if (mark.user === user || (mark.isShared && mayRead(toActor(mark)))) present.set(mark.user, mark);
    }
    return [...present.values()].map(toReceipt);
  }

  close(): void {
    this.#unsubscribe();
    this.#sending.clear();
    this.#publishing.clear();
  }

  #findFeed(room: RoomId): RoomFeed | undefined {
    return this.#collaborators.feeds().find(room);
  }

  #receive(body: unknown): void {
    const parsed = Published.safeParse(body);
    if (!parsed.success) return;
    for (const mark of parsed.data.marks) this.#deliver(parsed.data.room_id, mark);
  }

  #deliver(room: RoomId, mark: Mark): void {
    if (!this.#findFeed(room)) return;
    const known = this.#recent.get(room)?.get(mark.user);
    if (known && known.version >= mark.version) return;
    const recent = this.#recent.get(room) ?? new Map<Uuid, Mark>();
    recent.delete(mark.user);
    recent.set(mark.user, mark);
    if (recent.size > maxReads) recent.delete(recent.keys().next().value!);
    this.#recent.set(room, recent);
    addMark(this.#pending, room, mark);
    this.#sending.request(room);
  }

  #send(room: RoomId): void {
    const marks = [...(this.#pending.get(room)?.values() ?? [])];
    this.#pending.delete(room);
    const feed = this.#findFeed(room);
    if (!feed || marks.length === 0) return;
    const shared = marks
      .filter((mark) => mark.isShared && feed.getRights(toActor(mark)).includes('r'))
      .slice(0, maxReads);
    if (shared.length > 0) {
      const payload: ReadChanged = { room_id: room, reads: shared.map(toReceipt) };
      const event = { room_id: room, name: 'read:changed', payload };
      for (const broadcaster of this.#collaborators.broadcasters) broadcaster.publishEphemeral(event);
      this.#collaborators.events.emitted();
    }
    const own = new Map(marks.filter((mark) => !shared.includes(mark)).map((mark) => [mark.user, mark]));
    if (own.size > 0) this.#sendToOwners(room, feed, own);
  }

  #sendToOwners(room: RoomId, feed: RoomFeed, marks: ReadonlyMap<Uuid, Mark>): void {
    for (const subscriber of feed.subscribers) {
      const mark = marks.get(subscriber.actor.user);
      if (!mark) continue;
      const payload: ReadChanged = { room_id: room, reads: [toReceipt(mark)] };
      subscriber.deliverEvent('read:changed', payload);
      this.#collaborators.events.emitted();
    }
  }

  #publish(room: RoomId): void {
    const marks = [...(this.#unpublished.get(room)?.values() ?? [])];
    this.#unpublished.delete(room);
    for (let from = 0; from < marks.length; from += maxReads) {
      const body: z.infer<typeof Published> = { room_id: room, marks: marks.slice(from, from + maxReads) };
      this.#collaborators.bus.publish(topic, { room }, body);
      this.#collaborators.events.published();
    }
  }
}

const toActor = ({ user, entity, level }: Mark): Actor => ({ user, entity, level, mayCreateRooms: false });
const toReceipt = ({ user, read_seq, version }: Mark): ReadReceipt => ({ user, read_seq, version });

function addMark(rooms: Map<RoomId, Marks>, room: RoomId, mark: Mark): void {
  const marks = rooms.get(room) ?? new Map<Uuid, Mark>();
  rooms.set(room, marks);
  marks.set(mark.user, mark);
}
