import type { QueuedAction } from './action-queue.ts';
import type { ClientRoom, Operation, Outgoing, PersonalSettings, RoomEvents, RoomState, SendOptions } from './api.ts';
import { Conversation } from './conversation.ts';
import { ChatClientError } from './errors.ts';
import type { ClientPart } from './host.ts';
import { type Message, splitPayload } from './message.ts';
import type { MessageList } from './message-list.ts';
import { isMessage, type QueuedMessage } from './outbox.ts';
import type { Personal } from './reads.ts';
import { Reads } from './reads.ts';
import type { RoomConnection } from './room-connection.ts';
import { type JoinOption, Subscription } from './subscription.ts';
import { mayAffectUser } from './token.ts';
import { Typing } from './typing.ts';
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
} from './wire.ts';

/** In these states the room is joined, or the client will try to join it. */
const wantedStates: readonly RoomState[] = ['joining', 'joined', 'reconnecting'];

interface RoomHost {
  onLeft(room: Room): void;
  onOwnState(room: Room, ack?: object): void;
}

const noTypists: readonly Typist[] = [];

/** A room of the client. The second table of STATES.md shows its states and events. */
export class Room extends Conversation implements ClientRoom, ClientPart {
  state: RoomState = 'joining';
  error: ChatClientError | undefined;
  removalReason: RemovalCode | undefined;
  info: RoomInfo | undefined;
  rights = '';
  typing = noTypists;
  #presence: Presence | null | undefined;
  readonly #subscription: Subscription;
  readonly #reads: Reads;
  readonly #typing: Typing;
  readonly #events: RoomHost;
  /** The pending calls of `joined()`. */
  #waiting: ((error?: ChatClientError) => void)[] = [];

  constructor(connection: RoomConnection, ref: number | string, events: RoomHost) {
    super(connection, ref);
    this.#events = events;
    this.#reads = new Reads(connection, this);
    this.#typing = new Typing(connection, ref);
    this.#subscription = new Subscription(connection, ref, {
      createList: (before) => this.createList(this.handleChanged, { before }),
      onChange: (change, isReplayed) => this.#handleChange(change, isReplayed),
      onJoined: (joined, isNewTimeline) => this.#handleJoined(joined, isNewTimeline),
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
    return this.#subscription.timeline?.rev ?? 0;
  }

  get list(): MessageList | undefined {
    return this.#subscription.timeline?.list;
  }

  get outbox(): readonly Outgoing[] {
    return this.queuedMessages.all;
  }

  get presence(): Presence | null | undefined {
    this.#ask('presence');
    return this.#presence;
  }

  get reads(): readonly ReadReceipt[] {
    this.#ask('reads');
    return this.#reads.all;
  }

  override on<E extends keyof RoomEvents>(event: E, listener: (payload: RoomEvents[E]) => void): () => void {
    if (event === 'presence' || event === 'reads') this.#ask(event);
    return super.on(event, listener);
  }

  joined(): Promise<void> {
    if (this.state === 'joined') return Promise.resolve();
    const error = this.isWanted ? this.connection.refusal : this.#toError();
    if (error) return Promise.reject(error);
    return new Promise((resolve, reject) => {
      this.#waiting.push((reason) => (reason ? reject(reason) : resolve()));
    });
  }

  override send(content: string, options?: SendOptions): QueuedMessage {
    this.#typing.forget();
    return super.send(content, options);
  }

  override async loadOlder(limit?: number): Promise<readonly Message[]> {
    if (!this.list) await this.joined();
    return super.loadOlder(limit);
  }

  markRead(seq?: number, { force = false } = {}): Operation<ReadReceipt> {
    this.#subscription.joinOptions.reads = true;
    return this.#reads.mark(seq, this.info?.last_seq ?? 0, force);
  }

  setPersonal(settings: Partial<PersonalSettings>): Operation<PersonalSettings> {
    return this.queue.add({
      ...{ name: 'room:personal' as const, key: 'personal', settings },
      toPayload: (overtaken) =>
        // Settings that are omitted stay, so those of the overtaken requests are sent too.
        Object.assign(
          { room_id: this.ref },
          ...overtaken.map((other) => (other as Partial<Personal>).settings),
          settings,
        ),
      confirm: (ack) => {
        this.handleOwnState(ack);
        const { muted, hidden } = ack;
        return { muted, hidden };
      },
    });
  }

  setTyping(isTyping = true, thread?: number): void {
    if (this.state === 'joined') this.#typing.set(isTyping, thread);
  }

  /** Joins the room for the first time. */
  start(): void {
    this.#join();
  }

  /** Call this when the application opens the room. */
  handleOpened(): void {
    this.#reads.handleOpened();
  }

  rejoin(): void {
    this.handleOpened();
    if (this.isWanted || this.connection.state === 'closed') return;
    this.error = this.removalReason = undefined;
    this.#setState('joining');
    this.#join();
  }

  leave(): void {
    const wasWanted = this.isWanted;
    this.#stop();
    this.#setState('left');
    if (wasWanted) this.#events.onLeft(this);
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
    this.leave();
    this.queue.close();
  }

  handle(event: ChangeEvent | LiveEvent): void {
    const { name, payload } = event;
    if (!this.isWanted) return;
    if (name === 'typing:changed') {
      const user = this.connection.claims?.user;
      this.typing = payload.users.filter((typist) => typist.user !== user);
      this.#emitLive('typing', this.typing);
    } else if (name === 'presence:changed') {
      const { room_id: _, ...presence } = payload;
      this.#setPresence(presence);
    } else if (name === 'read:changed') {
      this.#reads.receive(payload.reads);
      this.#emitReads();
    } else this.#subscription.handle(event);
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

  /** What is not stored ends with the connection. */
  #stop(): void {
    this.#subscription.stop();
    this.#typing.forget();
    this.typing = noTypists;
    this.#presence = undefined;
  }

  #enterRemoved(): void {
    this.#subscription.stop();
    this.rights = '';
    this.#setState('removed');
  }

  #handleJoined({ room, rights, reads, presence }: Joined, isNewTimeline: boolean): void {
    const isReset = isNewTimeline && this.info !== undefined;
    // The client may already know a newer message than this answer, from an acknowledgement that arrived earlier.
    const last_seq = isNewTimeline ? room.last_seq : Math.max(room.last_seq, this.info?.last_seq ?? 0);
    this.info = { ...room, last_seq };
    this.rights = rights;
    this.error = this.removalReason = undefined;
    if (reads) this.#reads.receive(reads, true);
    if (presence !== undefined) this.#setPresence(presence);
    if (isNewTimeline) this.queuedMessages.update(() => true);
    this.#setState('joined');
    if (isReset) this.emit('reset', undefined);
    this.#emitReads();
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
    this.emitUpdate();
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
      this.#updateOutbox(true);
      this.emit('outgoing', queued);
    } else if (!queued.action.seqs) {
      this.#emitReads();
      this.handleOwnState();
    }
    this.emitUpdate();
  }

  #updateOutbox(hasChanged?: boolean): void {
    const isShown = (rev: number) => !this.isWanted || (this.state === 'joined' && rev <= this.rev);
    this.queuedMessages.update(isShown, hasChanged);
  }

  #setPresence(presence: Presence | null): void {
    this.#presence = presence;
    this.#emitLive('presence', presence);
  }

  #emitReads(): void {
    this.#emitLive('reads', this.#reads.all);
  }

  #emitLive<E extends 'typing' | 'presence' | 'reads'>(event: E, payload: RoomEvents[E]): void {
    this.emit(event, payload);
    this.emitUpdate();
  }

  #setState(state: RoomState): void {
    if (this.state === state) return;
    this.state = state;
    this.#updateOutbox();
    if (state === 'joined') this.onUnauthorized();
    else if (!this.isWanted) this.onUnauthorized(this.#toError());
    this.emit('state', state);
    this.emitUpdate();
  }

  #toError(): ChatClientError {
    if (this.error) return this.error;
    if (this.removalReason && this.state === 'removed') return ChatClientError.fromRemoval(this.removalReason);
    return new ChatClientError('CLOSED', 'The client has left the room');
  }
}
