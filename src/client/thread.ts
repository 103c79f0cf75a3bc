import type { ClientThread, Outgoing, SendOptions, ThreadEvents } from './api.ts';
import { Backoff } from './backoff.ts';
import type { ChatClientError } from './errors.ts';
import type { Message } from './message.ts';
import type { MessageList } from './message-list.ts';
import { MessageView } from './message-view.ts';
import type { RoomConnection } from './room-connection.ts';
import type { ChangeEvent } from './wire.ts';

interface ThreadRoom {
  readonly ref: number | string;
  readonly list: MessageList | undefined;
  createList(onChanged: (message: Message) => void, options: { thread?: number }): MessageList;
  send(content: string, options: SendOptions): Outgoing;
  closeThread(seq: number): void;
}

/** The replies to a message. A thread has no separate log position; it uses that of the room. */
export class Thread extends MessageView<ThreadEvents> implements ClientThread {
  readonly seq: number;
  error: ChatClientError | undefined;
  /** Whether `messages` has no gap up to the position of the room. */
  isLoaded = false;
  #wasLoaded = false;
  list: MessageList | undefined;
  readonly #connection: RoomConnection;
  readonly #room: ThreadRoom;
  readonly #backoff: Backoff;
  /** Contains only the root, which may be older than the messages of the room. */
  #roots: MessageList | undefined;
  /** Replaces `list` when its first page has arrived. */
  #loading: MessageList | undefined;

  constructor(connection: RoomConnection, room: ThreadRoom, seq: number) {
    super();
    this.seq = seq;
    this.#connection = connection;
    this.#room = room;
    this.#backoff = new Backoff(connection.limits);
  }

  get root(): Message | undefined {
    return this.#room.list?.find(this.seq) ?? this.#roots?.messages[0];
  }

  /** After a reset, the old messages are only shown until the new ones arrive, and no longer change. */
  get lists(): MessageList[] {
    return [this.#loading ?? this.list, this.#roots].filter((list) => list !== undefined);
  }

  send(content: string, options: SendOptions = {}): Outgoing {
    return this.#room.send(content, { ...options, thread: this.seq });
  }

  close(): void {
    this.#loading = undefined;
    this.#backoff.stop();
    this.#room.closeThread(this.seq);
  }

  /** Loads the root and the latest replies, also after the room has missed more than the service replays. */
  load(): void {
    const { link } = this.#connection;
    if (!link) return;
    const { seq } = this;
    const list = this.#room.createList(this.handleChanged, { thread: seq });
    const roots = this.#room.createList(this.handleChanged, {});
    this.isLoaded = false;
    this.#loading = list;
    this.#roots = roots;
    if (!this.#wasLoaded) this.list = list;
    for (const each of [list, roots]) each.startLoading();
    link.request('message:read', { room_id: this.#room.ref, seqs: [seq] }, (error, ack) => {
      if (!error) roots.prepend({ ...ack, has_more: false, next: null });
      roots.finishLoading();
      this.emitUpdate();
    });
    const isWanted = () => list === this.#loading;
    list.load((error) => {
      this.#loading = undefined;
      list.finishLoading();
      if (error?.isRetryable) return this.#backoff.wait(() => this.load(), error.retryAfterMs);
      // If the connection is lost, the room loads the thread when it is joined again.
      if (error?.isConnectionLoss) return;
      this.error = error;
      if (!error) {
        const isReset = this.#wasLoaded;
        this.list = list;
        this.isLoaded = this.#wasLoaded = true;
        this.#backoff.reset();
        if (isReset) this.emit('reset', undefined);
      }
      this.emitUpdate();
    }, isWanted);
  }

  apply(change: ChangeEvent): void {
    for (const list of this.lists) {
      const message = list.apply(change);
      if (message && list === this.list) this.handleMessage(message);
    }
  }
}
