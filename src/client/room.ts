import type { ClientRoom, Outgoing, RoomState, SendOptions } from './api.ts';
import type { RoomConnection } from './connection.ts';
import type { ChatClientError } from './errors.ts';
import type { Message } from './message.ts';
import type { MessageList } from './message-list.ts';
import { Outbox } from './outbox.ts';
import { OlderPages } from './pages.ts';
import { RoomFeatures } from './room-features.ts';
import { RoomStatus } from './room-status.ts';
import { Subscription } from './subscription.ts';
import { mayAffectUser } from './token.ts';
import type { ChangeEvent, Joined, LiveEvent, RemovalCode } from './wire.ts';

const noMessages: readonly Message[] = [];

/** A room of the client. The second table of STATES.md shows its states and events. */
export class Room extends RoomFeatures implements ClientRoom {
  rights = '';
  readonly #subscription: Subscription;
  readonly #outbox: Outbox;
  readonly #olderPages: OlderPages;
  readonly #onLeft: (room: Room) => void;
  readonly #status = new RoomStatus();

  constructor(connection: RoomConnection, ref: number | string, onLeft: (room: Room) => void) {
    super(connection, ref);
    this.#onLeft = onLeft;
    this.#subscription = new Subscription(connection, ref, {
      createList: (before) => this.createList({ before }),
      onChange: (change, isReplayed) => this.#handleChange(change, isReplayed),
      onJoined: (joined, isNewTimeline) => this.#handleJoined(joined, isNewTimeline),
      onRejected: (error) => this.#handleRejected(error),
    });
    this.#outbox = new Outbox(connection, {
      ref,
      onChanged: (outgoing) => this.#handleOutgoing(outgoing),
      onAcknowledged: ({ message, rev, cursor }) => {
        const payload = { ...message, rev, cursor };
        // The acknowledgement of a reply lacks the `root` that the event has.
        if (this.state === 'joined' && !message.thread)
          this.#subscription.handle({ name: 'message:new', payload }, { isOrdered: false });
      },
    });
    this.#olderPages = new OlderPages(connection, { room_id: ref });
    if (connection.state === 'closed') this.#status.setState('left');
    this.#join();
  }

  /** The room's number. `NaN` if the room was given by its UUID and has not been joined yet. */
  get id(): number {
    return this.#subscription.roomId ?? Number(this.ref);
  }

  get isWanted(): boolean {
    return this.#status.isWanted;
  }

  get state(): RoomState {
    return this.#status.state;
  }

  get error(): ChatClientError | undefined {
    return this.#status.error;
  }

  get removalReason(): RemovalCode | undefined {
    return this.#status.removalReason;
  }

  get rev(): number {
    return this.#subscription.timeline?.rev ?? 0;
  }

  get list(): MessageList | undefined {
    return this.#subscription.timeline?.list;
  }

  get messages(): readonly Message[] {
    return this.list?.messages ?? noMessages;
  }

  get hasOlder(): boolean {
    return this.list?.hasOlder ?? false;
  }

  get outbox(): readonly Outgoing[] {
    return this.#outbox.all;
  }

  joined(): Promise<void> {
    return this.#status.whenJoined(this.connection.refusal);
  }

  send(content: string, options: SendOptions = {}): Outgoing {
    this.ephemeral.forgetTyping();
    return this.#outbox.send(content, options);
  }

  async loadOlder(limit = 100): Promise<readonly Message[]> {
    if (!this.list) await this.joined();
    const messages = await this.#olderPages.load(limit, () => this.list!);
    this.emitUpdate();
    return messages;
  }

  rejoin(): void {
    this.handleOpened();
    if (this.isWanted || this.connection.state === 'closed') return;
    this.#status.error = this.#status.removalReason = undefined;
    this.#setState('joining');
    this.#join();
  }

  leave(): void {
    const wasWanted = this.isWanted;
    this.#subscription.stop();
    this.ephemeral.handleDisconnect();
    this.#setState('left');
    if (wasWanted) this.#onLeft(this);
  }

  handleConnect(): void {
    if (this.isWanted) this.#setState('joining');
    this.#join();
    this.#outbox.resume();
  }

  handleDisconnect(): void {
    this.#subscription.stop();
    this.ephemeral.handleDisconnect();
    if (this.isWanted) this.#setState('reconnecting');
  }

  /**
   * Call this when the client becomes `unauthorized`. It stops connecting, so pending calls of `joined()` must reject.
   */
  handleUnauthorized(error: ChatClientError): void {
    this.#status.rejectWaiting(error);
  }

  close(): void {
    this.leave();
    this.#outbox.close();
    this.queue.close();
  }

  /**
   * Reads the rights again, by joining the room again. Also call this if the claims of the token have changed: the service
   * sends no event for that.
   */
  refreshRights(): void {
    this.#join();
  }

  handle(event: ChangeEvent | LiveEvent): void {
    if (!this.isWanted) return;
    const { name } = event;
    if (name === 'read:changed' || name === 'typing:changed' || name === 'presence:changed') this.handleLive(event);
    else this.#subscription.handle(event);
  }

  handleRemoval(code: RemovalCode): void {
    if (!this.isWanted) return;
    this.#status.removalReason = code;
    // If a join is pending, the service answers it after the removal. Its answer shows whether the user is in the room.
    if (this.#subscription.state !== 'joining') this.#enterRemoved();
  }

  #join(): void {
    // A listener may have called `leave()` in the meantime.
    if (this.isWanted) this.#subscription.join();
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
    this.#status.error = this.#status.removalReason = undefined;
    this.#outbox.removeShown((rev) => isNewTimeline || rev <= this.rev);
    this.ephemeral.presence = presence;
    if (reads) this.readPositions.receive(reads, true);
    this.#setState('joined');
    if (isReset) this.emitter.emit('reset', undefined);
    this.emitReads();
    this.continue(isNewTimeline);
  }

  #handleRejected(error: ChatClientError): void {
    this.#status.error = error;
    this.rights = '';
    if (this.removalReason) this.#enterRemoved();
    else this.#setState('rejected');
  }

  protected handleMessage(message: Message): void {
    if (!this.isWanted) return;
    this.emitter.emit('message', message);
    const dropped = this.list!.dropExcess();
    if (dropped.length > 0) this.emitter.emit('dropped', dropped);
  }

  #handleChange(change: ChangeEvent, isReplayed: boolean): void {
    const { claims } = this.connection;
    if (!this.isWanted) return;
    if (change.name === 'message:new') {
      const { seq } = change.payload;
      if (this.info && this.info.last_seq < seq) this.info = { ...this.info, last_seq: seq };
      this.#outbox.handleMessage(change.payload);
      this.#outbox.removeShown((shown) => shown <= this.rev);
    }
    this.apply(change);
    if (change.name === 'member:changed') {
      this.emitter.emit('member', change.payload);
      if (!isReplayed && mayAffectUser(change.payload, claims)) this.refreshRights();
    } else if (change.name === 'room:changed') {
      const { level_admin } = this.info ?? {};
      this.info = change.payload.room;
      this.emitter.emit('room', this.info);
      if (!isReplayed && level_admin !== this.info.level_admin) this.refreshRights();
    }
    this.emitUpdate();
  }

  #handleOutgoing(outgoing: Outgoing): void {
    this.#outbox.removeShown((rev) => !this.isWanted || (this.state === 'joined' && rev <= this.rev));
    this.emitter.emit('outgoing', outgoing);
    this.emitUpdate();
  }

  #setState(state: RoomState): void {
    if (!this.#status.setState(state)) return;
    if (!this.isWanted) this.#outbox.removeShown(() => true);
    this.emitter.emit('state', state);
    this.emitUpdate();
  }
}
