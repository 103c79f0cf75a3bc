import type { ClientThread, EditOptions, Operation, Outgoing, RoomEvents, RoomState, SendOptions } from './api.ts';
import type { RoomConnection } from './connection.ts';
import { Conversation } from './conversation.ts';
import { Emitter } from './emitter.ts';
import { Ephemeral } from './ephemeral.ts';
import type { Message } from './message.ts';
import type { MessageList } from './message-list.ts';
import { Reads } from './reads.ts';
import type { LiveEvent, Presence, ReadReceipt, RoomInfo, Typist } from './wire.ts';

/** What can be done in a room besides joining it and sending messages. */
export abstract class RoomFeatures {
  readonly ref: number | string;
  info: RoomInfo | undefined;
  protected readonly emitter = new Emitter<RoomEvents>();
  protected readonly conversation: Conversation;
  protected readonly readPositions: Reads;
  protected readonly ephemeral: Ephemeral;

  constructor(connection: RoomConnection, ref: number | string) {
    this.ref = ref;
    this.conversation = new Conversation(connection, {
      ref,
      getList: () => this.list,
      isJoined: () => this.state === 'joined',
      isReady: () => this.state === 'joined' || !this.isWanted,
      send: (content, options) => this.send(content, options),
      onMessage: (message) => this.handleMessage(message),
      onChanged: (message) => {
        this.emitter.emit('changed', message);
        this.emitUpdate();
      },
      onMarked: () => this.emitReads(),
    });
    this.readPositions = new Reads(connection, ref, this.conversation.queue);
    this.ephemeral = new Ephemeral(connection, ref);
  }

  abstract readonly state: RoomState;
  abstract readonly isWanted: boolean;
  /** Undefined before the first join. */
  protected abstract readonly list: MessageList | undefined;

  abstract send(content: string, options?: SendOptions): Outgoing;
  protected abstract handleMessage(message: Message): void;

  get typing(): readonly Typist[] {
    return this.ephemeral.typing;
  }

  get presence(): Presence | null | undefined {
    return this.ephemeral.presence;
  }

  get reads(): readonly ReadReceipt[] {
    return this.readPositions.all;
  }

  on<E extends keyof RoomEvents>(event: E, listener: (payload: RoomEvents[E]) => void): () => void {
    return this.emitter.on(event, listener);
  }

  edit(seq: number, change: string | EditOptions): Operation<Message> {
    return this.conversation.edit(seq, change);
  }

  delete(seqs: number | readonly number[]): Operation<void> {
    return this.conversation.delete([seqs].flat());
  }

  react(seq: number, emoji: string): Operation<Message['reactions']> {
    return this.conversation.react(seq, emoji, true);
  }

  unreact(seq: number, emoji: string): Operation<Message['reactions']> {
    return this.conversation.react(seq, emoji, false);
  }

  markRead(seq?: number, { force = false } = {}): Operation<ReadReceipt> {
    return this.readPositions.mark(seq, this.info?.last_seq ?? 0, force);
  }

  setTyping(isTyping = true, thread?: number): void {
    if (this.state === 'joined') this.ephemeral.setTyping(isTyping, thread);
  }

  thread(seq: number): ClientThread {
    return this.conversation.thread(seq);
  }

  /** Call this when the application opens the room. */
  handleOpened(): void {
    this.readPositions.handleOpened();
  }

  /** Handles an event without a `rev`. */
  protected handleLive(event: LiveEvent): void {
    if (event.name === 'read:changed') {
      this.readPositions.receive(event.payload.reads);
      return this.emitReads();
    }
    this.ephemeral.handle(event);
    const name = event.name === 'typing:changed' ? 'typing' : 'presence';
    this.emitter.emit(name, this[name] as never);
    this.emitUpdate();
  }

  protected emitReads(): void {
    this.emitter.emit('reads', this.reads);
    this.emitUpdate();
  }

  protected emitUpdate(): void {
    this.emitter.emitDeferred('update', undefined);
  }
}
