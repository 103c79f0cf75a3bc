import type { ClientRoom, Operation, PersonalSettings, RoomEvents, RoomSnapshot, SendOptions } from './api.ts';
import type { ClientPart } from './host.ts';
import { LiveState } from './live-state.ts';
import { Membership } from './membership.ts';
import { type Message, splitPayload } from './message.ts';
import type { MessageList } from './message-list.ts';
import type { QueuedMessage } from './outbox.ts';
import { addPersonal } from './reads.ts';
import type { RoomConnection } from './room-connection.ts';
import { keepEqual } from './store.ts';
import { Subscription, type Timeline } from './subscription.ts';
import { mayAffectUser } from './token.ts';
import type {
  Ack,
  ChangeEvent,
  Joined,
  LiveEvent,
  Presence,
  ReadReceipt,
  RoomInfo,
  ServerEventPayloads,
  Typist,
  WireMessage,
} from './wire.ts';

interface RoomHost {
  onLeft(room: Room): void;
  onOwnState(room: Room, ack?: object): void;
}

/** What is needed to continue in a room after a restart. */
export interface RoomPosition {
  cursor: string;
  rev?: number;
  info?: RoomInfo;
  rights?: string;
  messages?: readonly WireMessage[];
  hasOlder?: boolean;
}

/** A room of the client. The second table of STATES.md shows its states and events. */
export class Room extends Membership implements ClientRoom, ClientPart {
  info: RoomInfo | undefined;
  readonly #subscription: Subscription;
  readonly #live: LiveState;
  readonly #events: RoomHost;

  constructor(connection: RoomConnection, ref: number | string, events: RoomHost) {
    super(connection, ref);
    this.#events = events;
    this.#live = new LiveState(connection, this, (event, payload) => {
      this.emit(event, payload);
      this.changed();
    });
    this.#subscription = new Subscription(connection, ref, {
      createList: (before) => this.createList(this.handleChanged, { before }),
      onChange: (change, isReplayed) => this.#handleChange(change, isReplayed),
      onAcknowledged: (joined) => this.#live.handleJoined(joined),
      onJoined: (...args) => this.#handleJoined(...args),
      onRejected: (error) => this.reject(error),
    });
    if (connection.state === 'closed') this.state = 'left';
  }

  /** The room's number. `NaN` if the room was given by its UUID and has not been joined yet. */
  get id(): number {
    return this.#subscription.roomId ?? Number(this.ref);
  }

  get rev(): number {
    return this.timeline?.rev || 0;
  }

  get cursor(): string | undefined {
    return this.timeline?.cursor;
  }

  get timeline(): Timeline | undefined {
    return this.#subscription.timeline;
  }

  get list(): MessageList | undefined {
    return this.timeline?.list;
  }

  get typing(): readonly Typist[] {
    return this.#live.typing;
  }

  get presence(): Presence | null | undefined {
    this.#subscription.ask('presence');
    return this.#live.presence;
  }

  get reads(): readonly ReadReceipt[] {
    this.#subscription.ask('reads');
    return this.#live.reads;
  }

  protected createSnapshot(): RoomSnapshot {
    const { state, error, removalReason, info, rights, messages, outbox, hasOlder, hasNewer } = this;
    const { typing, presence, reads } = this.#live;
    return { state, error, removalReason, info, rights, messages, outbox, hasOlder, hasNewer, typing, presence, reads };
  }

  override on<E extends keyof RoomEvents>(event: E, listener: (payload: RoomEvents[E]) => void): () => void {
    if (event === 'presence' || event === 'reads') this.#subscription.ask(event);
    return super.on(event, listener);
  }

  /** Continues at a position that the application or the storage has kept. Has no effect if the room has a position. */
  restore({ info, rights, rev = Number.NaN, cursor, messages = [], hasOlder = true }: RoomPosition): void {
    if (this.list) return;
    const list = this.createList(this.handleChanged, {});
    list.add({ messages, rev, has_more: hasOlder, next: null });
    this.#subscription.timeline = { rev, cursor, list };
    this.#subscription.roomId = info?.id;
    this.info = info;
    this.rights = rights ?? '';
    this.changed();
  }

  override send(content: string, options?: SendOptions): QueuedMessage {
    this.#live.own.forget();
    return super.send(content, options);
  }

  override async loadOlder(limit?: number): Promise<readonly Message[]> {
    if (!this.list) await this.joined();
    return super.loadOlder(limit);
  }

  markRead(seq?: number, { force = false } = {}): Operation<ReadReceipt> {
    this.#subscription.ask('reads', this.info?.receipts === true);
    // Without a `seq`, the user must see the newest message.
    const isShown = seq !== undefined || !this.hasNewer;
    return this.#live.marks.mark(seq, isShown ? this.info?.last_seq : undefined, force);
  }

  setPersonal(settings: Partial<PersonalSettings>): Operation<PersonalSettings> {
    return addPersonal(this, settings);
  }

  setTyping(isTyping = true, thread?: number): void {
    if (this.state === 'joined') this.#live.own.set(isTyping, thread);
  }

  rejoin(): void {
    this.#live.marks.handleOpened();
    if (!this.isWanted && this.connection.state !== 'closed') this.startNow();
  }

  leave(): void {
    this.forget();
    this.#end('left');
  }

  protected override start(): void {
    if (this.isWanted || this.connection.state === 'closed') return;
    this.#live.marks.handleOpened();
    this.open('joining');
    this.#join();
  }

  protected override stop(): void {
    if (this.state !== 'left') this.#end('idle');
  }

  onConnect(): void {
    if (this.isWanted) this.enter('joining');
    this.#join();
    this.queue.resume();
  }

  onDisconnect(): void {
    this.#stop();
    if (this.isWanted) this.enter('reconnecting');
  }

  /** Reads the rights again, by joining the room again: the service sends no event for that. */
  onClaimsChanged(): void {
    this.#join();
  }

  onEvent(name: string, payload: never): void {
    const { room_id, code } = (payload ?? {}) as ServerEventPayloads['room:removed'];
    if (room_id !== this.id || !this.isWanted) return;
    if (name === 'room:removed') {
      this.removalReason = code;
      // If a join is pending, the service answers it after the removal. Its answer shows whether the user is in the room.
      if (this.#subscription.state === 'joining') return;
      this.#stop();
      this.enter('removed');
    } else this.handle({ name, payload } as ChangeEvent);
  }

  close(): void {
    for (const view of this.views) view.close();
    this.leave();
    this.queue.close();
  }

  handle(event: ChangeEvent | LiveEvent): void {
    if (!this.isWanted) return;
    if (!this.#live.handle(event as LiveEvent)) this.#subscription.handle(event as ChangeEvent);
  }

  #join(): void {
    // A listener may have called `leave()` in the meantime.
    if (this.isWanted) this.#subscription.join();
  }

  #end(state: 'idle' | 'left'): void {
    const wasWanted = this.isWanted;
    this.#stop();
    this.enter(state);
    if (wasWanted) this.#events.onLeft(this);
  }

  #stop(): void {
    this.#subscription.stop();
    this.#live.stop();
  }

  #handleJoined(joined: Joined, isNewTimeline: boolean, isReset?: boolean): void {
    const { room, rights } = joined;
    // The client may already know a newer message than this answer, from an acknowledgement that arrived earlier.
    const last_seq = isNewTimeline ? room.last_seq : Math.max(room.last_seq, this.info?.last_seq ?? 0);
    this.info = keepEqual(this.info, { ...room, last_seq });
    this.rights = rights;
    if (isNewTimeline) this.queuedMessages.update(true);
    this.open('joined');
    if (isReset) this.emit('reset', undefined);
    this.#live.emitReads();
    this.continue(isNewTimeline);
  }

  #handleChange(change: ChangeEvent, isReplayed: boolean): void {
    if (!this.isWanted) return;
    if (change.name === 'message:new') this.#handleNewMessage(change.payload);
    this.apply(change);
    if (change.name === 'member:changed') {
      this.emit('member', change.payload);
      if (!isReplayed && mayAffectUser(change.payload, this.connection.claims)) this.#join();
    } else if (change.name === 'room:changed') {
      const { level_admin, receipts } = this.info ?? {};
      this.info = change.payload.room;
      this.emit('room', this.info);
      // The service sends no event for the rights and positions that the change gives or takes.
      const isRelevant = level_admin !== this.info.level_admin || receipts !== this.info.receipts;
      if (!isReplayed && isRelevant) this.#join();
    }
    this.changed();
  }

  #handleNewMessage(payload: ServerEventPayloads['message:new']): void {
    const { rev, message } = splitPayload(payload);
    const { seq } = message;
    if (this.info && this.info.last_seq < seq) this.info = { ...this.info, last_seq: seq };
    this.queuedMessages.handleMessage(message, rev);
  }

  handleSent({ message, rev, cursor }: Ack<'message:send'>): void {
    const payload = { ...message, rev, cursor };
    // The acknowledgement of a reply lacks the `root` that the event has.
    if (this.state === 'joined' && !message.thread)
      this.#subscription.handle({ name: 'message:new', payload }, { isOrdered: false });
  }

  handleOwnState(ack?: object): void {
    this.#events.onOwnState(this, ack);
  }

  protected handleOwnRead(): void {
    this.#live.emitReads();
    this.handleOwnState();
  }

  isShown(rev: number): boolean {
    return !this.isWanted || (this.state === 'joined' && rev <= this.rev);
  }
}
