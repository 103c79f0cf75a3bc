import type { QueuedAction } from './action-queue.ts';
import type {
  ClientRoom,
  Operation,
  Outgoing,
  PersonalSettings,
  RoomEvents,
  RoomSnapshot,
  RoomState,
  SendOptions,
} from './api.ts';
import { Conversation } from './conversation.ts';
import { ChatClientError } from './errors.ts';
import type { ClientPart } from './host.ts';
import { LiveState } from './live-state.ts';
import { type Message, splitPayload } from './message.ts';
import type { MessageList } from './message-list.ts';
import { isMessage, type QueuedMessage } from './outbox.ts';
import { addPersonal } from './reads.ts';
import type { RoomConnection } from './room-connection.ts';
import { keepEqual } from './store.ts';
import { type JoinOption, Subscription, type Timeline } from './subscription.ts';
import { mayAffectUser } from './token.ts';
import type {
  Ack,
  ChangeEvent,
  Joined,
  LiveEvent,
  Presence,
  ReadReceipt,
  RemovalCode,
  RoomInfo,
  ServerEventPayloads,
  Typist,
  WireMessage,
} from './wire.ts';

/** In these states the room is joined, or the client will try to join it. */
const wantedStates: readonly RoomState[] = ['joining', 'joined', 'reconnecting'];

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
export class Room extends Conversation implements ClientRoom, ClientPart {
  state: RoomState = 'idle';
  error: ChatClientError | undefined;
  removalReason: RemovalCode | undefined;
  info: RoomInfo | undefined;
  rights = '';
  readonly #subscription: Subscription;
  readonly #live: LiveState;
  readonly #events: RoomHost;
  /** The pending calls of `joined()`. */
  #waiting: ((error?: ChatClientError) => void)[] = [];

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
      onRejected: (error) => this.#handleRejected(error),
    });
    if (connection.state === 'closed') this.state = 'left';
  }

  /** The room's number. `NaN` if the room was given by its UUID and has not been joined yet. */
  get id(): number {
    return this.#subscription.roomId ?? Number(this.ref);
  }

  get isWanted(): boolean {
    return wantedStates.includes(this.state);
  }

  protected get isReady(): boolean {
    return this.state === 'joined' || !this.isWanted;
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

  get outbox(): readonly Outgoing[] {
    return this.queuedMessages.all;
  }

  get typing(): readonly Typist[] {
    return this.#live.typing;
  }

  get presence(): Presence | null | undefined {
    this.#ask('presence');
    return this.#live.presence;
  }

  get reads(): readonly ReadReceipt[] {
    this.#ask('reads');
    return this.#live.reads;
  }

  protected createSnapshot(): RoomSnapshot {
    const { state, error, removalReason, info, rights, messages, outbox, hasOlder, hasNewer } = this;
    const { typing, presence, reads } = this.#live;
    return { state, error, removalReason, info, rights, messages, outbox, hasOlder, hasNewer, typing, presence, reads };
  }

  override on<E extends keyof RoomEvents>(event: E, listener: (payload: RoomEvents[E]) => void): () => void {
    if (event === 'presence' || event === 'reads') this.#ask(event);
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

  joined(): Promise<void> {
    if (this.state === 'joined') return Promise.resolve();
    const error = this.isWanted || this.state === 'idle' ? this.connection.refusal : this.#toError();
    if (error) return Promise.reject(error);
    const release = this.hold();
    return new Promise((resolve, reject) => {
      this.#waiting.push((reason) => {
        release();
        if (reason) reject(reason);
        else resolve();
      });
    });
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
    this.#subscription.joinOptions.reads = true;
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
    this.error = this.removalReason = undefined;
    this.#setState('joining');
    this.#join();
  }

  protected override stop(): void {
    if (this.state !== 'left') this.#end('idle');
  }

  onConnect(): void {
    if (this.isWanted) this.#setState('joining');
    this.#join();
    this.queue.resume();
  }

  onDisconnect(): void {
    this.#stop();
    if (this.isWanted) this.#setState('reconnecting');
  }

  /** The client stops connecting, so pending calls of `joined()` must reject. */
  onUnauthorized(error?: ChatClientError): void {
    for (const settle of this.#waiting.splice(0)) settle(error);
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
      if (this.#subscription.state !== 'joining') this.#enterRemoved();
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

  /** Asks the service for this with every join from now on. */
  #ask(option: JoinOption): void {
    this.#subscription.joinOptions[option] = true;
    // Later, so that one join asks for everything that a view uses.
    if (this.#subscription.isMissing(option))
      void Promise.resolve().then(() => {
        if (this.#subscription.isMissing(option)) this.#join();
      });
  }

  #join(): void {
    // A listener may have called `leave()` in the meantime.
    if (this.isWanted) this.#subscription.join();
  }

  #end(state: 'idle' | 'left'): void {
    const wasWanted = this.isWanted;
    this.#stop();
    this.#setState(state);
    if (wasWanted) this.#events.onLeft(this);
  }

  #stop(): void {
    this.#subscription.stop();
    this.#live.stop();
  }

  #enterRemoved(): void {
    this.#subscription.stop();
    this.rights = '';
    this.#setState('removed');
  }

  #handleJoined(joined: Joined, isNewTimeline: boolean, isReset?: boolean): void {
    const { room, rights } = joined;
    // The client may already know a newer message than this answer, from an acknowledgement that arrived earlier.
    const last_seq = isNewTimeline ? room.last_seq : Math.max(room.last_seq, this.info?.last_seq ?? 0);
    this.info = keepEqual(this.info, { ...room, last_seq });
    this.rights = rights;
    this.error = this.removalReason = undefined;
    if (isNewTimeline) this.queuedMessages.update(() => true);
    this.#setState('joined');
    if (isReset) this.emit('reset', undefined);
    this.#live.emitReads();
    this.continue(isNewTimeline);
  }

  #handleRejected(error: ChatClientError): void {
    this.error = error;
    this.rights = '';
    if (this.removalReason) this.#enterRemoved();
    else this.#setState('rejected');
  }

  #handleChange(change: ChangeEvent, isReplayed: boolean): void {
    if (!this.isWanted) return;
    if (change.name === 'message:new') this.#handleNewMessage(change.payload);
    this.apply(change);
    if (change.name === 'member:changed') {
      this.emit('member', change.payload);
      if (!isReplayed && mayAffectUser(change.payload, this.connection.claims)) this.#join();
    } else if (change.name === 'room:changed') {
      const { level_admin } = this.info ?? {};
      this.info = change.payload.room;
      this.emit('room', this.info);
      if (!isReplayed && level_admin !== this.info.level_admin) this.#join();
    }
    this.changed();
  }

  #handleNewMessage(payload: ServerEventPayloads['message:new']): void {
    const { rev, message } = splitPayload(payload);
    const { seq } = message;
    if (this.info && this.info.last_seq < seq) this.info = { ...this.info, last_seq: seq };
    this.queuedMessages.handleMessage(message, rev);
    this.#updateOutbox();
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

  protected handleQueued(queued: QueuedAction): void {
    if (isMessage(queued)) {
      const view = this.queuedMessages.handleQueued(queued);
      this.#updateOutbox();
      this.emit('outgoing', view);
    } else if (!queued.action.seqs) {
      this.#live.emitReads();
      this.handleOwnState();
    }
    this.changed();
  }

  #updateOutbox(): void {
    this.queuedMessages.update((rev) => !this.isWanted || (this.state === 'joined' && rev <= this.rev));
  }

  #setState(state: RoomState): void {
    if (this.state === state) return;
    this.state = state;
    this.#updateOutbox();
    if (state === 'joined') this.onUnauthorized();
    else if (!this.isWanted) this.onUnauthorized(this.#toError());
    this.emit('state', state);
    this.changed();
  }

  #toError(): ChatClientError {
    if (this.error) return this.error;
    if (this.removalReason && this.state === 'removed') return ChatClientError.fromRemoval(this.removalReason);
    return new ChatClientError('CLOSED', 'The client has left the room');
  }
}
