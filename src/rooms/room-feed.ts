import type { Change, Envelope } from '../protocol/change.ts';
import type { Position } from '../protocol/cursor.ts';
import { ChatError, type RemovalCode } from '../protocol/errors.ts';
import type { RoomId } from '../protocol/identifiers.ts';
import type { LoggedRoom, RoomLog } from '../store/room-log.ts';
import { type Actor, matchOf, may, refusalOf } from './permissions.ts';
import { type RoomRights, rightsAfter, rightsOf, verdictOn } from './room-rights.ts';

/** One connection's place in one room. All its methods are synchronous: between them nothing can slip in. */
export interface Member {
  readonly actor: Actor;
  /** A change for this member alone, before it has entered. */
  tell(change: Change): void;
  /** From now on it hears what its audience announces to the room. */
  enter(): void;
  /** It is out of the room: stop announcing to it, and tell it why. */
  takeOut(code: RemovalCode): void;
}

/** One transport's members on this node. */
export interface Audience {
  announce(change: Change): void;
}

/** Not yet live. `base` is where the feed was when it began to hold changes; `from` the head of the member's snapshot. */
interface Joining {
  base: number | undefined;
  from: number | undefined;
  held: Change[];
}

export interface FeedEvents {
  repaired(changes: number): void;
  reordered(): void;
  failed(error: unknown): void;
}

interface Collaborators {
  room: RoomId;
  log: RoomLog;
  audiences: readonly Audience[];
  events: FeedEvents;
}

/** How long a change waits for the ones before it until they are read from the log. */
const holdMs = 30;
const repairPage = 500;
/** Beyond this the log keeps them better. */
const mostEarly = 2_000;

/**
 * One room's changes on this node, in log order, each once. Members are judged by the rules as they stand at the
 * change that is delivered, so nothing that was committed after a ban reaches the banned.
 */
export class RoomFeed {
  readonly room: RoomId;
  readonly #log: RoomLog;
  readonly #audiences: readonly Audience[];
  readonly #events: FeedEvents;
  /** What was delivered last; undefined until the first member's snapshot says where the log stands. */
  #position: Position | undefined;
  /** As of `#position`. */
  #rights: RoomRights | undefined;
  /** The highest `rev` heard of. */
  #head = 0;
  readonly #early = new Map<number, Change>();
  readonly #members = new Set<Member>();
  readonly #joining = new Map<Member, Joining>();
  #holdTimer: NodeJS.Timeout | undefined;
  #repairing: Promise<void> | undefined;
  #ended = false;

  constructor({ room, log, audiences, events }: Collaborators) {
    this.room = room;
    this.#log = log;
    this.#audiences = audiences;
    this.#events = events;
  }

  get isEmpty(): boolean {
    return this.#members.size === 0 && this.#joining.size === 0;
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  /** The rights as of what has been delivered. */
  get rights(): RoomRights | undefined {
    return this.#rights;
  }

  /** The letters an actor has here, by the rules as of what has been delivered. */
  rightsOf(actor: Actor): string {
    return this.#rights ? verdictOn(actor, this.#rights).rights : '';
  }

  get position(): Position | undefined {
    return this.#position;
  }

  get #at(): number | undefined {
    return this.#position?.rev;
  }

  has(member: Member): boolean {
    return this.#members.has(member) || this.#joining.has(member);
  }

  /**
   * Takes a member in. `read` reads the room and what else the join needs from the log; it runs again where it came
   * too early to meet the feed. `acknowledge` is called in the same turn in which the member goes live.
   */
  async join<T extends { state: LoggedRoom }>(
    member: Member,
    read: () => Promise<T>,
    acknowledge: (joined: T) => void,
  ): Promise<void> {
    const joining: Joining = { base: this.#at, from: undefined, held: [] };
    this.#joining.set(member, joining);
    try {
      let joined = await read();
      while (joining.base !== undefined && joined.state.head.rev < joining.base) joined = await read();
      if (this.#joining.get(member) !== joining) throw new ChatError('NOT_FOUND');
      const rights = rightsOf(joined.state.room, joined.state.rules);
      const verdict = verdictOn(member.actor, rights);
      if (!may(verdict, 'read')) throw new ChatError(refusalOf(verdict));
      this.#standAt(joined.state.head, rights);
      acknowledge(joined);
      this.#goLive(member, joining, joined.state.head.rev, rights);
    } catch (error) {
      if (this.#joining.get(member) === joining) this.#joining.delete(member);
      throw error;
    }
  }

  leave(member: Member): void {
    this.#members.delete(member);
    this.#joining.delete(member);
  }

  /** Judges a member whose token has changed. */
  review(member: Member): void {
    if (!this.#rights || !this.#members.has(member)) return;
    const { lack } = verdictOn(member.actor, this.#rights);
    if (lack) this.#takeOut(member, lack);
  }

  hear(envelope: Envelope): void {
    if (this.#ended) return;
    if (envelope.kind === 'deleted') return this.#delete();
    const { rev } = envelope;
    this.#head = Math.max(this.#head, rev);
    if (this.#at !== undefined && rev <= this.#at) return;
    if (rev === (this.#at ?? Number.NaN) + 1) {
      this.#deliver(envelope);
      this.#deliverEarly();
    } else if (this.#early.size < mostEarly) {
      this.#early.set(rev, envelope);
    }
    if (this.#isBehind) this.#hold();
  }

  /** The log's head as a sweep has read it; undefined where the room is gone. */
  notice(head: number | undefined): void {
    if (head === undefined) return this.#delete();
    this.#head = Math.max(this.#head, head);
    if (this.#isBehind) void this.#repair();
  }

  /** Takes everybody out without a word; the process is ending. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#holdTimer);
    this.#members.clear();
    this.#joining.clear();
    this.#early.clear();
  }

  get #isBehind(): boolean {
    return this.#at !== undefined && this.#at < this.#head;
  }

  #standAt(position: Position, rights: RoomRights): void {
    const { rev } = position;
    this.#head = Math.max(this.#head, rev);
    if (this.#position === undefined) {
      this.#position = position;
      this.#rights = rights;
      for (const other of this.#joining.values()) other.base ??= rev;
      for (const early of this.#early.keys()) if (early <= rev) this.#early.delete(early);
      this.#deliverEarly();
    }
    if (this.#isBehind) this.#hold();
  }

  #goLive(member: Member, joining: Joining, from: number, rights: RoomRights): void {
    let current = rights;
    for (const change of joining.held) {
      if (change.rev <= from) continue;
      current = rightsAfter(current, change);
      const { lack } = verdictOn(member.actor, current);
      if (lack) return this.#takeOut(member, lack);
      member.tell(change);
    }
    joining.held = [];
    joining.from = from;
    if ((this.#at ?? 0) >= from) this.#enter(member);
  }

  #enter(member: Member): void {
    this.#joining.delete(member);
    this.#members.add(member);
    member.enter();
  }

  #takeOut(member: Member, code: RemovalCode): void {
    this.leave(member);
    member.takeOut(code);
  }

  #deliver(change: Change): void {
    this.#position = { room_id: change.room_id, rev: change.rev, at: change.at };
    if (change.kind !== 'message' && this.#rights) {
      this.#rights = rightsAfter(this.#rights, change);
      this.#judgeMembers(change);
    }
    if (this.#members.size > 0) for (const audience of this.#audiences) audience.announce(change);
    for (const [member, joining] of this.#joining) {
      if (joining.from === undefined) joining.held.push(change);
      else if (joining.from === change.rev) this.#enter(member);
    }
  }

  #judgeMembers(change: Change): void {
    const rights = this.#rights!;
    for (const member of this.#members) {
      const concerned =
        change.kind === 'room' ||
        (change.kind === 'member' && matchOf({ ...change.rule, kind: 'any' }, member.actor, rights.room) !== null);
      const lack = concerned ? verdictOn(member.actor, rights).lack : null;
      if (lack) this.#takeOut(member, lack);
    }
  }

  #deliverEarly(): void {
    for (let next = this.#nextEarly(); next; next = this.#nextEarly()) {
      this.#early.delete(next.rev);
      this.#events.reordered();
      this.#deliver(next);
    }
  }

  #nextEarly(): Change | undefined {
    return this.#at === undefined ? undefined : this.#early.get(this.#at + 1);
  }

  #hold(): void {
    this.#holdTimer ??= setTimeout(() => {
      this.#holdTimer = undefined;
      if (this.#isBehind) void this.#repair();
    }, holdMs).unref();
  }

  /** Reads what is missing from the log and delivers it. What fails here is tried again by the next sweep. */
  #repair(): Promise<void> {
    this.#repairing ??= this.#readMissing()
      .catch((error) => this.#events.failed(error))
      .finally(() => {
        this.#repairing = undefined;
      });
    return this.#repairing;
  }

  async #readMissing(): Promise<void> {
    while (!this.#ended && this.#isBehind) {
      const changes = await this.#log.changes(this.room, this.#at! + 1, this.#head, repairPage);
      let repaired = 0;
      for (const change of changes) {
        if (this.#ended || change.rev !== this.#at! + 1) continue;
        this.#early.delete(change.rev);
        this.#deliver(change);
        repaired += 1;
      }
      this.#deliverEarly();
      this.#events.repaired(repaired);
      // Nothing to read of what was announced: the room may be gone, which the next sweep finds out.
      if (changes.length === 0) return;
    }
  }

  #delete(): void {
    this.#ended = true;
    clearTimeout(this.#holdTimer);
    for (const member of [...this.#members, ...this.#joining.keys()]) this.#takeOut(member, 'ROOM_DELETED');
  }
}
