import type { ClientThread, Outgoing, SendOptions, ThreadSnapshot } from './api.ts';
import { LoadedView, type ViewRoom } from './loaded-view.ts';
import type { Message } from './message.ts';
import type { MessageList } from './message-list.ts';
import type { RoomConnection } from './room-connection.ts';

interface ThreadRoom extends ViewRoom {
  send(content: string, options: SendOptions): Outgoing;
  closeThread(seq: number): void;
}

/** The replies to a message. */
export class Thread extends LoadedView<ThreadSnapshot> implements ClientThread {
  readonly seq: number;
  declare protected readonly room: ThreadRoom;
  /** Contains only the root, which may be older than the messages of the room. */
  #roots: MessageList | undefined;

  constructor(connection: RoomConnection, room: ThreadRoom, seq: number) {
    super(connection, room);
    this.seq = seq;
  }

  get root(): Message | undefined {
    return this.room.list?.find(this.seq) ?? this.#roots?.messages[0];
  }

  override get lists(): MessageList[] {
    return [...super.lists, ...(this.#roots ? [this.#roots] : [])];
  }

  send(content: string, options: SendOptions = {}): Outgoing {
    return this.room.send(content, { ...options, thread: this.seq });
  }

  override close(): void {
    super.close();
    this.room.closeThread(this.seq);
  }

  override load(): void {
    const { link } = this.connection;
    if (!link) return;
    const { room, seq } = this;
    const roots = room.createList(this.handleChanged, {});
    this.#roots = roots;
    roots.startLoading();
    link.request('message:read', { room_id: room.ref, seqs: [seq] }, (error, ack) => {
      if (!error) roots.add({ ...ack, has_more: false, next: null });
      roots.finishLoading();
      this.changed();
    });
    super.load();
  }

  protected createList(): MessageList {
    return this.room.createList(this.handleChanged, { thread: this.seq });
  }

  protected createSnapshot(): ThreadSnapshot {
    const { root, messages, hasOlder, hasNewer, error } = this;
    return { root, messages, hasOlder, hasNewer, error };
  }
}
