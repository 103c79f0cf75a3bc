import type { RemovalCode } from '../../src/core/errors.ts';
import type { Heard, JoinAnswer } from './line.ts';
import { type Evidence, positionOf, type Stay, type StayEnd, type Transport, type Violation } from './record.ts';
import type { Head } from './room-history.ts';

const lasting = ['FORBIDDEN', 'BANNED', 'NOT_FOUND'];

interface Owner {
  name: string;
  person: { user: string };
  transport: Transport;
}

/**
 * The subscriptions of one client to one room. Applies changes by the rules of the protocol, and records every
 * subscription.
 */
export class Place {
  readonly room: number;
  isWanted = true;
  cursor: string | undefined;
  /** The code with which the server excluded the client; undefined as long as the client knows of no exclusion. */
  refusal: string | undefined;
  joinAt = 0;
  askedAt = Number.POSITIVE_INFINITY;
  mustJoinAgain = false;
  stay: Stay | undefined;
  readonly #owner: Owner;
  readonly #evidence: Evidence;
  readonly #breach: (fault: Violation['fault'], what: string) => void;
  /** The `rev` of the last applied change, across all connections. */
  #have = 0;
  #seq: number | undefined;
  /** The subscription whose last change the cursor names. */
  #last: Stay | undefined;

  constructor(
    room: number,
    owner: Owner,
    evidence: Evidence,
    breach: (fault: Violation['fault'], what: string) => void,
  ) {
    this.room = room;
    this.#owner = owner;
    this.#evidence = evidence;
    this.#breach = breach;
  }

  get isIn(): boolean {
    return this.stay !== undefined;
  }

  /** A request for this room is in progress. */
  get isBusy(): boolean {
    return this.askedAt !== Number.POSITIVE_INFINITY;
  }

  ask(now: number): void {
    this.askedAt = now;
  }

  joined(answer: JoinAnswer, node: number, now: number, retryAt: number): void {
    this.askedAt = Number.POSITIVE_INFINITY;
    if (!answer.ok) return this.#refused(answer.code, now, retryAt);
    this.refusal = undefined;
    if (this.stay) return this.#joinedAgain(answer, node, now);
    this.#begin(answer, node, now);
    for (const change of answer.events) this.hear(change, now);
    if (this.#owner.transport === 'socketio') this.#expectAt(answer.rev);
  }

  #refused(code: string, now: number, retryAt: number): void {
    const isFinal = lasting.includes(code);
    if (!isFinal && code !== 'UNAVAILABLE') this.#breach('protocol', `join refused: ${code}`);
    this.joinAt = retryAt;
    // A client that joins again remains subscribed until the server removes it. On /chat, a failed select leaves the
    // room.
    if (this.stay && this.#owner.transport === 'socketio') return;
    this.#end({ at: now, how: 'left' });
    this.refusal = isFinal ? code : undefined;
  }

  /** The client never left the room, so this only checks that no change is missing. */
  #joinedAgain(answer: JoinAnswer & { ok: true }, node: number, now: number): void {
    const isRepair = this.mustJoinAgain;
    this.mustJoinAgain = false;
    if (!isRepair && this.#owner.transport === 'socketio') this.#expectAt(answer.rev);
    if (answer.recovered) for (const change of answer.events) if (change.rev > this.#have) this.hear(change, now);
    if (this.#owner.transport === 'chat' || this.#have === answer.rev) return;
    this.#end({ at: now, how: 'started over' });
    this.#begin({ ...answer, recovered: false }, node, now);
  }

  #begin({ rev, cursor, recovered }: JoinAnswer & { ok: true }, node: number, now: number): void {
    const { name: client, person, transport } = this.#owner;
    if (!recovered) {
      this.#have = rev;
      this.cursor = cursor;
      this.#seq = undefined;
    }
    const times = { startedAt: now, applied: [], end: undefined };
    const resumes = recovered ? this.#last : undefined;
    this.stay = {
      ...{ client, user: person.user, room: this.room, transport, node },
      ...{ joinedRev: rev, recovered, from: this.#have, resumes, ...times },
    };
    this.#last = this.stay;
    this.#evidence.stays.push(this.stay);
  }

  #expectAt(rev: number): void {
    if (this.#have === rev) return;
    this.#breach('lost', `room ${this.room}: has come to rev ${this.#have}, the acknowledgement says ${rev}`);
  }

  hear({ rev, cursor, seq, text }: Heard, now: number): void {
    const { stay } = this;
    if (!stay) return this.#breach('protocol', `room ${this.room}: heard rev ${rev} outside of the room`);
    const isChat = this.#owner.transport === 'chat';
    if (rev <= this.#have) return this.#breach('doubled', `room ${this.room}: rev ${rev} at rev ${this.#have}`);
    if (isChat ? this.#seq !== undefined && seq !== this.#seq + 1 : rev !== this.#have + 1) {
      const after = isChat ? `seq ${this.#seq}` : `rev ${this.#have}`;
      this.#breach('lost', `room ${this.room}: rev ${rev}, seq ${seq} after ${after}`);
      if (!isChat) {
        this.mustJoinAgain = true;
        return;
      }
    }
    this.#have = rev;
    this.#seq = seq ?? this.#seq;
    this.cursor = cursor;
    stay.applied.push({ rev, seq, text, at: now, live: rev > stay.joinedRev });
  }

  left(now: number): void {
    this.askedAt = Number.POSITIVE_INFINITY;
    this.#end({ at: now, how: 'left' });
  }

  /** Returns false if the client was not in the room. */
  removed(code: RemovalCode, now: number, joinAt: number): boolean {
    if (!this.stay) return false;
    this.#end({ at: now, how: 'removed', code });
    this.refusal = code;
    this.joinAt = joinAt;
    return true;
  }

  lineLost(now: number): void {
    this.askedAt = Number.POSITIVE_INFINITY;
    this.joinAt = 0;
    this.#end({ at: now, how: 'disconnected' });
  }

  /** Allows the client to join again, with its cursor or as if for the first time. */
  comeBack(remembering: boolean): void {
    this.isWanted = true;
    if (!remembering && !this.stay) this.cursor = undefined;
  }

  /** Describes why the client has not received everything up to this head. Undefined if it has, or need not. */
  missing(head: Head): string | undefined {
    if (!this.isWanted || this.refusal) return undefined;
    const { name, transport } = this.#owner;
    const due = transport === 'chat' ? head.message : head.rev;
    if (!this.stay) return `${name} is not in room ${this.room}${this.isBusy ? ', and waits for the answer' : ''}`;
    const position = positionOf(this.stay);
    return position < due ? `${name} in room ${this.room} has come to rev ${position} of ${due}` : undefined;
  }

  #end(end: StayEnd): void {
    if (this.stay) this.stay.end = end;
    this.stay = undefined;
    this.mustJoinAgain = false;
  }
}
