import { type Actor, may, refusalOf } from '../authorization.ts';
import type { Origin } from '../bus.ts';
import type { Position } from '../cursor.ts';
import { ChatError, type RemovalCode } from '../errors.ts';
import type { RoomId } from '../ids.ts';
import type { BusMessage, Change } from '../log/change.ts';
import {
  apply,
  concerns,
  type FollowedRights,
  follow,
  type RoomRights,
  rightsAt,
  verdictOn,
} from '../log/rights-cache.ts';
import type { RoomLog } from '../log/room-log.ts';
import type { RoomSnapshot } from '../log/room-snapshot.ts';
import { ChangeOrder, type ChangeOrigin, type FeedEvents } from './change-sequencer.ts';

/** One connection's place in one room. All its methods are synchronous: between them nothing can slip in. */
export interface Member {
  readonly actor: Actor;
  /** A change for this member alone, before it has entered. */
  tell(change: Change): void;
  /** From now on it hears what its audience announces to the room. */
  enter(): void;
  /** It is out of the room: stop announcing to it, and tell it why. */
  takeOut(code: RemovalCode): void;
  /** The log is not the one it was: the connection shall come back and begin anew. */
  reconnect(): void;
}

/** One transport's members on this node. */
export interface Audience {
  announce(change: Change): void;
}

/**
 * A member on its way in, or one that asks again. `base` is where the feed was when it began to hold changes for it,
 * `from` the head of its snapshot.
 */
interface Joining {
  member: Member;
  base: number | undefined;
  from: number | undefined;
  held: Change[];
  /** The feed is at `from`. */
  arrive: () => void;
  /** It left, or was taken out, on its way. */
  abandon: () => void;
}

interface Snapshot {
  state: RoomSnapshot;
}

interface Collaborators {
  room: RoomId;
  log: Pick<RoomLog, 'changes'>;
  audiences: readonly Audience[];
  events: FeedEvents;
}

const mostReads = 5;

/**
 * One room's changes on this node, in log order, each once. Members are judged by the rules as they stand at the
 * change that is delivered, so nothing that was committed after a ban reaches the banned.
 */
export class RoomFeed {
  readonly #audiences: readonly Audience[];
  readonly #events: FeedEvents;
  readonly #order: ChangeOrder;
  /** As of what was delivered last. */
  #rights: FollowedRights | undefined;
  readonly #members = new Set<Member>();
  readonly #joining = new Set<Joining>();
  #ended = false;
  #isClosing = false;

  constructor({ room, log, audiences, events }: Collaborators) {
    this.#audiences = audiences;
    this.#events = events;
    this.#order = new ChangeOrder({ room, log, events, deliver: (change, origin) => this.#deliver(change, origin) });
  }

  get isEmpty(): boolean {
    return this.#members.size === 0 && this.#joining.size === 0;
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  /** Whether it knows where the log stands: from the first member on. */
  get hasStarted(): boolean {
    return this.#rights !== undefined;
  }

  /** The letters an actor has here, by the rules as of what was delivered last. */
  rightsOf(actor: Actor): string {
    return this.#rights ? verdictOn(actor, this.#rights).rights : '';
  }

  /** What was delivered last. */
  get position(): Position | undefined {
    return this.#order.position;
  }

  /**
   * Takes a member in. `read` reads the room and what else the join needs from the log; it runs again where it came
   * too early to meet the feed. `acknowledge` is called in the same turn in which the member goes live.
   */
  join<T extends Snapshot>(member: Member, read: () => Promise<T>, acknowledge: (joined: T) => void): Promise<void> {
    return this.#meet(member, read, (joining, joined, rights) => {
      this.#standAt(joined.state.head, rights);
      acknowledge(joined);
      if (!this.#tellHeld(joining, joined.state.head.rev, rights)) return;
      joining.arrive = () => this.#enter(member);
      this.#arriveAt(joining, joined.state.head.rev);
    });
  }

  /**
   * A member that is live asks again: it stays, and misses nothing. It is answered when the feed has come to where the
   * snapshot was taken; `later` is what the feed has delivered beyond that.
   */
  rejoin<T extends Snapshot>(
    member: Member,
    read: () => Promise<T>,
    acknowledge: (joined: T, later: readonly Change[]) => void,
  ): Promise<void> {
    return this.#meet(member, read, (joining, joined) => {
      const from = joined.state.head.rev;
      const later = joining.held.filter(({ rev }) => rev > from);
      return new Promise((resolve, reject) => {
        joining.abandon = () => reject(new ChatError('NOT_FOUND'));
        joining.arrive = () => {
          acknowledge(joined, later);
          resolve();
        };
        this.#order.expect(from);
        this.#arriveAt(joining, from);
      });
    });
  }

  /** Holds what is delivered while the snapshot is read, and judges the member by it. */
  async #meet<T extends Snapshot>(
    member: Member,
    read: () => Promise<T>,
    proceed: (joining: Joining, joined: T, rights: RoomRights) => Promise<void> | void,
  ): Promise<void> {
    const base = this.position?.rev;
    const joining: Joining = { member, base, from: undefined, held: [], arrive: () => {}, abandon: () => {} };
    this.#joining.add(joining);
    try {
      let joined = await read();
      // In the turn of the check the snapshot is used: nothing may move the feed in between.
      for (let tries = 1; isOlder(joined, joining); tries++) {
        if (tries === mostReads) throw new ChatError('UNAVAILABLE');
        joined = await read();
      }
      const rights = rightsAt(joined.state);
      const verdict = verdictOn(member.actor, rights);
      if (!may(verdict, 'read')) throw new ChatError(refusalOf(verdict));
      if (!this.#joining.has(joining)) throw new ChatError(this.#isClosing ? 'UNAVAILABLE' : 'NOT_FOUND');
      await proceed(joining, joined, rights);
    } catch (error) {
      this.#joining.delete(joining);
      throw error;
    }
  }

  leave(member: Member): void {
    this.#members.delete(member);
    for (const joining of this.#joining) {
      if (joining.member !== member) continue;
      this.#joining.delete(joining);
      joining.abandon();
    }
  }

  /** Judges a member whose token has changed. */
  review(member: Member): void {
    if (!this.#rights || !this.#members.has(member)) return;
    const { lack } = verdictOn(member.actor, this.#rights);
    if (lack) this.#takeOut(member, lack);
  }

  hear(envelope: BusMessage, origin: Origin = 'here'): void {
    if (envelope.kind === 'deleted') this.#delete();
    else this.#order.hear(envelope, origin);
  }

  /** The log's head as a sweep has read it; undefined where the room is gone. */
  notice(head: number | undefined): void {
    if (head === undefined) this.#delete();
    else this.#order.catchUp(head);
  }

  /** Takes everybody out without a word; the node does not serve the room any more. */
  end(): void {
    // One that has ended is that of a deleted room.
    this.#isClosing = !this.#ended;
    this.#ended = true;
    this.#order.end();
    this.#members.clear();
    for (const joining of this.#joining) joining.abandon();
    this.#joining.clear();
  }

  /** The database has lost what was delivered, by a failover or a restore: everybody begins anew. */
  startOver(): void {
    const members = [...this.#members, ...[...this.#joining].map(({ member }) => member)];
    this.end();
    for (const member of new Set(members)) member.reconnect();
  }

  /** The first member's snapshot says where the log stands; a later one may say that the feed is behind. */
  #standAt(position: Position, rights: RoomRights): void {
    if (this.#rights) return this.#order.expect(position.rev);
    this.#rights = follow(rights);
    for (const other of this.#joining) other.base ??= position.rev;
    this.#order.startAt(position);
  }

  /** What came after the snapshot, as long as the member may hear it; false where it may not go on. */
  #tellHeld({ member, held }: Joining, from: number, rights: RoomRights): boolean {
    let current: FollowedRights | undefined;
    for (const change of held) {
      if (change.rev <= from) continue;
      if (concerns(change, member.actor)) {
        current ??= follow(rights);
        apply(current, change);
        const { lack } = verdictOn(member.actor, current);
        if (lack) {
          this.#takeOut(member, lack);
          return false;
        }
      }
      member.tell(change);
    }
    return true;
  }

  #arriveAt(joining: Joining, from: number): void {
    joining.from = from;
    joining.held = [];
    if ((this.position?.rev ?? 0) >= from) this.#arrive(joining);
  }

  #arrive(joining: Joining): void {
    this.#joining.delete(joining);
    joining.arrive();
  }

  /** Judged once more: the member's token may have changed while it waited for the feed. */
  #enter(member: Member): void {
    const { lack } = verdictOn(member.actor, this.#rights!);
    if (lack) return this.#takeOut(member, lack);
    this.#members.add(member);
    member.enter();
  }

  #takeOut(member: Member, code: RemovalCode): void {
    this.leave(member);
    member.takeOut(code);
  }

  #deliver(change: Change, origin: ChangeOrigin): void {
    if (change.kind !== 'message' && this.#rights) {
      apply(this.#rights, change);
      this.#judgeMembers(change);
    }
    if (this.#members.size > 0) {
      for (const audience of this.#audiences) this.#announce(audience, change);
      this.#events.delivered(change.at, origin);
    }
    for (const joining of this.#joining) {
      if (joining.from === undefined) joining.held.push(change);
      else if (joining.from === change.rev) this.#arrive(joining);
    }
  }

  /** One transport that fails must not keep the change from the other, nor from those who join. */
  #announce(audience: Audience, change: Change): void {
    try {
      audience.announce(change);
    } catch (error) {
      this.#events.failed(error);
    }
  }

  #judgeMembers(change: Change): void {
    const rights = this.#rights!;
    for (const member of this.#members) {
      const lack = concerns(change, member.actor) ? verdictOn(member.actor, rights).lack : null;
      if (lack) this.#takeOut(member, lack);
    }
  }

  #delete(): void {
    this.#ended = true;
    this.#order.end();
    // One whose join is not acknowledged yet is told by its refusal.
    for (const joining of this.#joining) {
      if (joining.from === undefined) this.#joining.delete(joining);
      else this.#members.add(joining.member);
    }
    for (const member of this.#members) this.#takeOut(member, 'ROOM_DELETED');
  }
}

/** The snapshot is from before the feed began to hold changes for the member. */
function isOlder({ state }: Snapshot, { base }: Joining): boolean {
  return base !== undefined && state.head.rev < base;
}
