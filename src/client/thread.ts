import type { ClientThread, Outgoing, RoomState, SendOptions, ThreadEvents } from './api.ts';
import { computeBackoffMs, type RoomConnection } from './connection.ts';
import { Emitter } from './emitter.ts';
import type { ChatClientError } from './errors.ts';
import type { Message } from './message.ts';
import type { MessageList } from './message-list.ts';
import { OlderPages, requestPage } from './pages.ts';
import type { ChangeEvent } from './wire.ts';

interface ThreadRoom {
  readonly ref: number | string;
  readonly state: RoomState;
  readonly list: MessageList | undefined;
  createList(options: { thread?: number; onChanged(message: Message): void }): MessageList;
  send(content: string, options: SendOptions): Outgoing;
  closeThread(seq: number): void;
}

const pageSize = 100;

/** The replies to a message. A thread has no separate log position; it uses that of the room. */
export class Thread implements ClientThread {
  readonly seq: number;
  error: ChatClientError | undefined;
  /** Whether `messages` has no gap up to the position of the room. */
  isLoaded = false;
  #wasLoaded = false;
  readonly #connection: RoomConnection;
  readonly #room: ThreadRoom;
  readonly #emitter = new Emitter<ThreadEvents>();
  readonly #olderPages: OlderPages;
  #list: MessageList;
  /** Contains only the root, which may be older than the messages of the room. */
  #roots: MessageList;
  /** Replaces `#list` when its first page has arrived. */
  #loading: MessageList | undefined;
  #failures = 0;

  constructor(connection: RoomConnection, room: ThreadRoom, seq: number) {
    this.seq = seq;
    this.#connection = connection;
    this.#room = room;
    this.#olderPages = new OlderPages(connection, { room_id: room.ref, thread: seq });
    this.#list = this.#createList(seq);
    this.#roots = this.#createList();
    if (room.state === 'joined') this.load();
  }

  get root(): Message | undefined {
    return this.#room.list?.find(this.seq) ?? this.#roots.messages[0];
  }

  get messages(): readonly Message[] {
    return this.#list.messages;
  }

  get hasOlder(): boolean {
    return this.#list.hasOlder;
  }

  get lists(): MessageList[] {
    // After a reset, the old messages are only shown until the new ones arrive.
    const shown = this.#loading && this.#wasLoaded ? [] : [this.#list];
    return [...shown, this.#roots, ...(this.#loading ? [this.#loading] : [])];
  }

  on<E extends keyof ThreadEvents>(event: E, listener: (payload: ThreadEvents[E]) => void): () => void {
    return this.#emitter.on(event, listener);
  }

  send(content: string, options: SendOptions = {}): Outgoing {
    return this.#room.send(content, { ...options, thread: this.seq });
  }

  async loadOlder(limit = pageSize): Promise<readonly Message[]> {
    const messages = await this.#olderPages.load(limit, () => this.#list);
    this.#emitUpdate();
    return messages;
  }

  close(): void {
    this.#loading = undefined;
    this.#room.closeThread(this.seq);
  }

  /** Loads the root and the latest replies, also after the room has missed more than the service replays. */
  load(): void {
    const { link } = this.#connection;
    if (!link) return;
    const list = this.#createList(this.seq);
    const roots = this.#createList();
    this.isLoaded = false;
    this.#loading = list;
    this.#roots = roots;
    for (const each of [list, roots]) each.startLoading();
    const isWanted = () => list === this.#loading;
    link.request('message:read', { room_id: this.#room.ref, seqs: [this.seq] }, (error, ack) => {
      if (!error) roots.prepend({ ...ack, has_more: false, next: null });
      roots.finishLoading();
      this.#emitUpdate();
    });
    const onPage = (error: ChatClientError | undefined) => {
      this.#loading = undefined;
      list.finishLoading();
      if (error) return this.#handleFailure(error);
      const isReset = this.#wasLoaded;
      this.#list = list;
      this.isLoaded = this.#wasLoaded = true;
      this.#failures = 0;
      if (isReset) this.#emitter.emit('reset', undefined);
      this.#emitUpdate();
    };
    requestPage(link, list, { room_id: this.#room.ref, thread: this.seq }, pageSize, onPage, isWanted);
  }

  apply(change: ChangeEvent): void {
    for (const list of this.lists) {
      const message = list.apply(change);
      if (!message || list !== this.#list) continue;
      this.#emitter.emit('message', message);
      const dropped = list.dropExcess();
      if (dropped.length > 0) this.#emitter.emit('dropped', dropped);
      this.#emitUpdate();
    }
  }

  /** If the connection is lost, the room loads the thread when it is joined again. */
  #handleFailure(error: ChatClientError): void {
    if (error.isConnectionLoss) return;
    if (error.isRetryable) setTimeout(() => this.load(), computeBackoffMs(this.#failures++, this.#connection.timeouts));
    else {
      this.error = error;
      this.#emitUpdate();
    }
  }

  #createList(thread?: number): MessageList {
    return this.#room.createList({
      ...(thread !== undefined && { thread }),
      onChanged: (message) => {
        this.#emitter.emit('changed', message);
        this.#emitUpdate();
      },
    });
  }

  #emitUpdate(): void {
    this.#emitter.emitDeferred('update', undefined);
  }
}
