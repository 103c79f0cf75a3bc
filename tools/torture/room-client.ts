import type { RemovalCode } from '../../src/core/errors.ts';
import type { JoinAnswer, Page, Receipt, ReceivedChange, ShownPresence } from './connection.ts';
import {
  type Evidence,
  getPosition,
  type Subscription,
  type SubscriptionEnd,
  type Transport,
  type Violation,
} from './record.ts';
import type { Head } from './room-history.ts';
import { Timeline } from './timeline.ts';

const finalCodes = ['FORBIDDEN', 'BANNED', 'NOT_FOUND'];

interface Owner {
  name: string;
  person: { user: string };
  transport: Transport;
}

/**
 * The subscriptions of one client to one room. Applies changes by the rules of the protocol, and records every
 * subscription.
 */
export class RoomClient {
  readonly room: number;
  isWanted = true;
  cursor: string | undefined;
  /** The code with which the server excluded the client; undefined as long as the client knows of no exclusion. */
  refusal: string | undefined;
  joinAt = 0;
  askedAt = Number.POSITIVE_INFINITY;
  mustJoinAgain = false;
  subscription: Subscription | undefined;
  timeline: Timeline;
  /** When the page was requested that the client waits for. */
  pageAskedAt: number | undefined;
  readonly #owner: Owner;
  readonly #evidence: Evidence;
  readonly #violation: (fault: Violation['fault'], what: string) => void;
  /** The `rev` of the last applied change, across all connections. */
  #have = 0;
  #lastSeq = 0;
  /** Who is typing, and since when it is shown. */
  readonly #typing = new Map<string, number>();
  #joinAskedAt = 0;
  /** The subscription whose last change the cursor names. */
  #last: Subscription | undefined;

  constructor(
    room: number,
    owner: Owner,
    evidence: Evidence,
    violation: (fault: Violation['fault'], what: string) => void,
  ) {
    this.room = room;
    this.#owner = owner;
    this.#evidence = evidence;
    this.#violation = violation;
    this.timeline = new Timeline(owner.person.user);
  }

  /** The client has joined without recovery, and has to load a page. */
  get needsPage(): boolean {
    return this.isIn && this.timeline.floor === undefined && this.pageAskedAt === undefined;
  }

  get isIn(): boolean {
    return this.subscription !== undefined;
  }

  /** A request for this room is in progress. */
  get isBusy(): boolean {
    return this.askedAt !== Number.POSITIVE_INFINITY;
  }

  ask(now: number): void {
    this.askedAt = now;
  }

  joined(answer: JoinAnswer, node: number, now: number, retryAt: number): void {
    this.#joinAskedAt = this.askedAt;
    this.askedAt = Number.POSITIVE_INFINITY;
    if (!answer.ok) return this.#refused(answer.code, now, retryAt);
    this.refusal = undefined;
    if (this.subscription) return this.#joinedAgain(answer, node, now);
    this.#begin(answer, node, now);
    for (const change of answer.events) this.receive(change, now, true);
    this.#showAnswers(answer, now);
    if (this.#owner.transport === 'socketio') this.#expectAt(answer.rev);
  }

  #refused(code: string, now: number, retryAt: number): void {
    const isFinal = finalCodes.includes(code);
    if (!isFinal && code !== 'UNAVAILABLE') this.#violation('protocol', `join refused: ${code}`);
    this.joinAt = retryAt;
    // A client that joins again remains subscribed until the server removes it. On /chat, a failed select leaves the
    // room.
    if (this.subscription && this.#owner.transport === 'socketio') return;
    this.#end({ at: now, how: 'left' });
    this.refusal = isFinal ? code : undefined;
  }

  /** The client never left the room, so this only checks that no change is missing. */
  #joinedAgain(answer: JoinAnswer & { ok: true }, node: number, now: number): void {
    const isRepair = this.mustJoinAgain;
    this.mustJoinAgain = false;
    if (!isRepair && this.#owner.transport === 'socketio') this.#expectAt(answer.rev);
    if (answer.recovered)
      for (const change of answer.events) if (change.rev > this.#have) this.receive(change, now, true);
    if (this.#owner.transport !== 'socketio' || this.#have === answer.rev) return this.#showAnswers(answer, now);
    this.#end({ at: now, how: 'started over' });
    this.#begin({ ...answer, recovered: false }, node, now);
    this.#showAnswers(answer, now);
  }

  #begin({ rev, cursor, recovered, lastSeq }: JoinAnswer & { ok: true }, node: number, now: number): void {
    const { name: client, person, transport } = this.#owner;
    this.#lastSeq = lastSeq;
    if (!recovered) {
      this.timeline = new Timeline(person.user);
      this.pageAskedAt = undefined;
      this.#have = rev;
      this.cursor = cursor;
    }
    const times = { startedAt: now, applied: [], end: undefined };
    const resumes = recovered ? this.#last : undefined;
    this.subscription = {
      ...{ client, user: person.user, room: this.room, transport, node, askedAt: this.#joinAskedAt },
      ...{ joinedRev: rev, recovered, from: this.#have, resumes, ...times },
    };
    this.#last = this.subscription;
    this.#evidence.subscriptions.push(this.subscription);
  }

  #showAnswers({ presence, reads = [] }: JoinAnswer & { ok: true }, now: number): void {
    if (presence) this.showPresence(presence, now);
    this.showReads(reads, now);
  }

  showPresence({ users, isPartial }: ShownPresence, at: number): void {
    if (!this.subscription || !users) return;
    this.subscription.presence ??= [];
    this.subscription.presence.push({ at, users, isPartial });
  }

  /** Records the read positions of others. */
  showReads(reads: Receipt[], at: number): void {
    const { room, subscription } = this;
    if (!subscription) return;
    const { name: client, person } = this.#owner;
    for (const { user, readSeq, version } of reads) {
      if (user === person.user) continue;
      this.#evidence.receipts.push({ client, user, room, readSeq, version, rev: getPosition(subscription), at });
    }
  }

  #expectAt(rev: number): void {
    if (this.#have === rev) return;
    this.#violation('lost', `room ${this.room}: is at rev ${this.#have}, but the acknowledgement has rev ${rev}`);
  }

  receive(change: ReceivedChange, now: number, isAnswer = false): void {
    const { rev, cursor, name, seq, message, text } = change;
    const { subscription } = this;
    if (!subscription)
      return this.#violation('protocol', `room ${this.room}: received rev ${rev} without a subscription`);
    const { transport } = this.#owner;
    // On /chat, missed changes follow the answer to the select.
    const isMissed = isAnswer || (transport !== 'socketio' && rev <= subscription.joinedRev);
    if (rev <= this.#have) return this.#violation('duplicated', `room ${this.room}: rev ${rev} at rev ${this.#have}`);
    // Without events, only the log shows whether a change is missing.
    if (transport !== 'chat' && rev !== this.#have + 1) {
      this.#violation('lost', `room ${this.room}: rev ${rev} after rev ${this.#have}`);
      this.mustJoinAgain = true;
      return;
    }
    this.#have = rev;
    this.cursor = cursor;
    this.timeline.apply(change, isMissed);
    const version = message && { version: message.version };
    subscription.applied.push({
      ...{ rev, name, seq, ...version, text },
      ...{ at: now, live: rev > subscription.joinedRev },
    });
  }

  addPage({ messages, rev, hasMore }: Page): void {
    this.pageAskedAt = undefined;
    this.timeline.addPage(messages, rev, hasMore, this.#lastSeq);
  }

  /**
   * Shows these users as typing from now on, instead of those before. An event that arrives after the client has left is
   * ignored.
   */
  showTyping(users: string[]): void {
    if (!this.subscription) return;
    const { room } = this;
    const at = performance.now();
    for (const [user, from] of this.#typing) {
      if (users.includes(user)) continue;
      this.#evidence.typing.push({ client: this.#owner.name, room, user, from, to: at });
      this.#typing.delete(user);
    }
    for (const user of users) if (!this.#typing.has(user)) this.#typing.set(user, at);
  }

  left(now: number): void {
    this.askedAt = Number.POSITIVE_INFINITY;
    this.#end({ at: now, how: 'left' });
  }

  /** Returns false if the client was not in the room. */
  removed(code: RemovalCode, now: number, joinAt: number): boolean {
    if (!this.subscription) return false;
    this.#end({ at: now, how: 'removed', code });
    this.refusal = code;
    this.joinAt = joinAt;
    return true;
  }

  /** `noticedBy` is when the server learns of it at the latest. */
  connectionLost(now: number, noticedBy: number): void {
    const { room, askedAt } = this;
    // The server may have handled a request that it could not answer any more.
    if (this.isBusy) {
      this.#evidence.stays.push({ room, user: this.#owner.person.user, from: askedAt, to: noticedBy });
    }
    this.pageAskedAt = undefined;
    this.askedAt = Number.POSITIVE_INFINITY;
    this.joinAt = 0;
    this.#end({ at: now, how: 'disconnected', noticedBy });
  }

  /** Allows the client to join again, with its cursor or as if for the first time. */
  rejoin(remembering: boolean): void {
    this.isWanted = true;
    if (!remembering && !this.subscription) this.cursor = undefined;
  }

  /** Describes why the client has not received everything up to this head. Undefined if it has, or need not. */
  missing(head: Head): string | undefined {
    if (!this.isWanted || this.refusal) return undefined;
    const { name, transport } = this.#owner;
    const due = transport === 'chat' ? head.message : head.rev;
    if (!this.subscription)
      return `${name} is not in room ${this.room}${this.isBusy ? ' and waits for the acknowledgement' : ''}`;
    const position = getPosition(this.subscription);
    if (position < due) return `${name} in room ${this.room} is at rev ${position} of ${due}`;
    const lacksPage = transport !== 'chat' && this.timeline.floor === undefined;
    return lacksPage ? `${name} in room ${this.room} has no page` : undefined;
  }

  #end(end: SubscriptionEnd): void {
    this.showTyping([]);
    if (this.subscription) this.subscription.end = end;
    this.subscription = undefined;
    this.mustJoinAgain = false;
  }
}
