import type { ClientRoom, Outgoing, RoomEvents, RoomState } from './api.ts';
import { concerns } from './claims.ts';
import type { ChatClientError } from './client-error.ts';
import type { Connected } from './connection.ts';
import { Emitter } from './emitter.ts';
import { type Change, Membership } from './membership.ts';
import { OlderPages } from './older-pages.ts';
import { Outbox } from './outbox.ts';
import { Standing } from './standing.ts';
import type { Joined, Message, RemovalCode, RoomInfo } from './wire.ts';

const none: readonly Message[] = [];

export class Room implements ClientRoom {
  readonly ref: number | string;
  info: RoomInfo | undefined;
  rights = '';
  readonly #connection: Connected;
  readonly #membership: Membership;
  readonly #outbox: Outbox;
  readonly #older: OlderPages;
  readonly #emitter = new Emitter<RoomEvents>();
  readonly #left: (room: Room) => void;
  readonly #standing = new Standing();

  constructor(connection: Connected, ref: number | string, left: (room: Room) => void) {
    this.ref = ref;
    this.#connection = connection;
    this.#left = left;
    this.#membership = new Membership(connection, ref, {
      message: (message, rev, dropped) => this.#said(message, rev, dropped),
      change: (change, isPast) => this.#changed(change, isPast),
      live: (joined, isAnew) => this.#live(joined, isAnew),
      refused: (error) => this.#refused(error),
    });
    this.#outbox = new Outbox(connection, {
      ref,
      changed: (one) => this.#outgoing(one),
      acknowledged: ({ message, rev, cursor }) => {
        const payload = { ...message, rev, cursor };
        if (this.state === 'live') this.#membership.hear({ name: 'message:new', payload }, { isAnnounced: false });
      },
    });
    this.#older = new OlderPages(connection, ref);
    if (connection.state === 'closed') this.#standing.enter('left');
    this.#join();
  }

  /** The number of the room, where it is known. */
  get id(): number {
    return this.#membership.roomId ?? Number(this.ref);
  }

  get isWanted(): boolean {
    return this.#standing.isWanted;
  }

  get state(): RoomState {
    return this.#standing.state;
  }

  get error(): ChatClientError | undefined {
    return this.#standing.error;
  }

  get removal(): RemovalCode | undefined {
    return this.#standing.removal;
  }

  get rev(): number {
    return this.#membership.timeline?.rev ?? 0;
  }

  get messages(): readonly Message[] {
    return this.#membership.timeline?.messages ?? none;
  }

  get hasOlder(): boolean {
    return this.#membership.timeline?.hasOlder ?? false;
  }

  get outbox(): readonly Outgoing[] {
    return this.#outbox.all;
  }

  on<E extends keyof RoomEvents>(event: E, listener: (what: RoomEvents[E]) => void): () => void {
    return this.#emitter.on(event, listener);
  }

  joined(): Promise<void> {
    return this.#standing.joined(this.#connection.refusal);
  }

  send(content: string): Outgoing {
    return this.#outbox.send(content);
  }

  async loadOlder(limit = 100): Promise<readonly Message[]> {
    if (!this.#membership.timeline) await this.joined();
    const messages = await this.#older.load(limit, () => this.#membership.timeline!);
    this.#touch();
    return messages;
  }

  rejoin(): void {
    if (this.isWanted || this.#connection.state === 'closed') return;
    this.#standing.error = this.#standing.removal = undefined;
    this.#enter('joining');
    this.#join();
  }

  leave(): void {
    const wasWanted = this.isWanted;
    this.#membership.stop();
    this.#enter('left');
    if (wasWanted) this.#left(this);
  }

  up(): void {
    if (this.isWanted) this.#enter('joining');
    this.#join();
    this.#outbox.resume();
  }

  down(): void {
    this.#membership.stop();
    if (this.isWanted) this.#enter('away');
  }

  /** It will not be live by itself. */
  stopWaiting(why: ChatClientError): void {
    this.#standing.stopWaiting(why);
  }

  close(): void {
    this.leave();
    this.#outbox.close();
  }

  /** After a change of our token, of which the service says nothing by itself. */
  readRights(): void {
    this.#join();
  }

  hear(change: Change): void {
    if (this.isWanted) this.#membership.hear(change);
  }

  removed(code: RemovalCode): void {
    if (!this.isWanted) return;
    this.#standing.removal = code;
    // A join that is under way is obeyed after it: its answer says whether we are in.
    if (!this.#membership.isAsking) this.#enterRemoved();
  }

  /** Who hears of a state may have left by now. */
  #join(): void {
    if (this.isWanted) this.#membership.join();
  }

  #enterRemoved(): void {
    this.#membership.stop();
    this.rights = '';
    this.#enter('removed');
  }

  #live({ room, rights }: Pick<Joined, 'room' | 'rights'>, isAnew: boolean): void {
    const isReset = isAnew && this.info !== undefined;
    // An acknowledgement of ours may have been ahead of the join.
    const last_seq = isAnew ? room.last_seq : Math.max(room.last_seq, this.info?.last_seq ?? 0);
    this.info = { ...room, last_seq };
    this.rights = rights;
    this.#standing.error = this.#standing.removal = undefined;
    this.#outbox.shown((rev) => isAnew || rev <= this.rev);
    this.#enter('live');
    if (isReset) this.#emitter.emit('reset', undefined);
    this.#touch();
  }

  #refused(error: ChatClientError): void {
    this.#standing.error = error;
    this.rights = '';
    if (this.removal) this.#enterRemoved();
    else this.#enter('refused');
  }

  #said(message: Message, rev: number, dropped: readonly Message[]): void {
    if (!this.isWanted) return;
    if (this.info && this.info.last_seq < message.seq) this.info = { ...this.info, last_seq: message.seq };
    this.#outbox.saw(message, rev);
    this.#outbox.shown((shown) => shown <= this.rev);
    this.#emitter.emit('message', message);
    if (dropped.length > 0) this.#emitter.emit('dropped', dropped);
    this.#touch();
  }

  #changed(change: Exclude<Change, { name: 'message:new' }>, isPast: boolean): void {
    const { claims } = this.#connection;
    if (!this.isWanted) return;
    if (change.name === 'member:changed') {
      this.#emitter.emit('member', change.payload);
      if (!isPast && concerns(change.payload, claims)) this.readRights();
    } else if (change.name === 'room:changed') {
      const { level_admin } = this.info ?? {};
      this.info = change.payload.room;
      this.#emitter.emit('room', this.info);
      if (!isPast && level_admin !== this.info.level_admin) this.readRights();
    }
    this.#touch();
  }

  #outgoing(one: Outgoing): void {
    this.#outbox.shown((rev) => !this.isWanted || (this.state === 'live' && rev <= this.rev));
    this.#emitter.emit('outgoing', one);
    this.#touch();
  }

  #enter(state: RoomState): void {
    if (!this.#standing.enter(state)) return;
    if (!this.isWanted) this.#outbox.shown(() => true);
    this.#emitter.emit('state', state);
    this.#touch();
  }

  #touch(): void {
    this.#emitter.emitSoon('update', undefined);
  }
}
