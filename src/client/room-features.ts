import type { Operation } from './api.ts';
import type { RoomConnection } from './connection.ts';
import { Conversation } from './conversation.ts';
import { Ephemeral } from './ephemeral.ts';
import { Reads } from './reads.ts';
import type { LiveEvent, Presence, ReadReceipt, RoomInfo, Typist } from './wire.ts';

/** What a room knows about its users: how far they have read, who is typing and who is present. */
export abstract class RoomFeatures extends Conversation {
  info: RoomInfo | undefined;
  protected readonly readPositions: Reads;
  protected readonly ephemeral: Ephemeral;

  constructor(connection: RoomConnection, ref: number | string) {
    super(connection, ref);
    this.readPositions = new Reads(connection, ref, this.queue);
    this.ephemeral = new Ephemeral(connection, ref);
  }

  get typing(): readonly Typist[] {
    return this.ephemeral.typing;
  }

  get presence(): Presence | null | undefined {
    return this.ephemeral.presence;
  }

  get reads(): readonly ReadReceipt[] {
    return this.readPositions.all;
  }

  markRead(seq?: number, { force = false } = {}): Operation<ReadReceipt> {
    return this.readPositions.mark(seq, this.info?.last_seq ?? 0, force);
  }

  setTyping(isTyping = true, thread?: number): void {
    if (this.state === 'joined') this.ephemeral.setTyping(isTyping, thread);
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
}
