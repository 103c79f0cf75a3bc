import type { ThreadEvents } from './api.ts';
import { Backoff } from './backoff.ts';
import { ChatClientError } from './errors.ts';
import type { Message } from './message.ts';
import type { MessageList, MessageListOptions } from './message-list.ts';
import { MessageView } from './message-view.ts';
import { PendingCalls } from './pending-calls.ts';
import type { RoomConnection } from './room-connection.ts';
import type { ChangeEvent } from './wire.ts';

export interface ViewRoom {
  readonly ref: number | string;
  readonly list: MessageList | undefined;
  readonly views: Set<LoadedView<object>>;
  createList(
    onChanged: (message: Message) => void,
    options: Pick<MessageListOptions, 'before' | 'around' | 'thread'>,
  ): MessageList;
  /** Whether a view can be loaded now. Otherwise the room calls `load` when it is joined. */
  isJoined(): boolean;
  joined(): Promise<void>;
  /** Keeps the room joined until the returned function is called. */
  hold(): () => void;
}

/**
 * Messages that are loaded while something listens to them: a thread or a window. A view has no separate log position; it
 * uses that of the room.
 */
export abstract class LoadedView<Snapshot extends object> extends MessageView<ThreadEvents, Snapshot> {
  error: ChatClientError | undefined;
  /** Whether `messages` has no gap up to the position of the room. */
  isLoaded = false;
  list: MessageList | undefined;
  protected readonly connection: RoomConnection;
  protected readonly room: ViewRoom;
  readonly #backoff: Backoff;
  #wasLoaded = false;
  /** Replaces `list` when its first page has arrived. */
  #loading: MessageList | undefined;
  /** Release the room. */
  readonly #releases = new Set<() => void>();
  /** The pending calls of `loaded()`. */
  readonly #pending = new PendingCalls();

  constructor(connection: RoomConnection, room: ViewRoom) {
    super();
    this.connection = connection;
    this.room = room;
    this.#backoff = new Backoff(connection.limits);
  }

  protected abstract createList(): MessageList;

  /** After a reset, the old messages are only shown until the new ones arrive, and no longer change. */
  get lists(): MessageList[] {
    const current = this.#loading ?? (this.isLoaded ? this.list : undefined);
    return current ? [current] : [];
  }

  /** Resolves when the first page is loaded. */
  async loaded(): Promise<void> {
    if (this.isLoaded) return;
    const release = this.hold();
    try {
      if (!this.room.views.has(this)) this.startNow();
      await this.room.joined();
      if (this.isLoaded) return;
      await this.#pending.wait();
    } finally {
      release();
    }
  }

  override async loadOlder(limit?: number): Promise<readonly Message[]> {
    await this.loaded();
    return super.loadOlder(limit);
  }

  override async loadNewer(limit?: number): Promise<readonly Message[]> {
    await this.loaded();
    return super.loadNewer(limit);
  }

  override async loadLatest(limit?: number): Promise<readonly Message[]> {
    await this.loaded();
    return super.loadLatest(limit);
  }

  /** What listens to the view also keeps the room joined. */
  override hold(): () => void {
    const release = super.hold();
    const releaseRoom = this.room.hold();
    this.#releases.add(releaseRoom);
    return () => {
      this.#releases.delete(releaseRoom);
      release();
      releaseRoom();
    };
  }

  close(): void {
    this.forget();
    this.stop();
    for (const release of this.#releases) release();
    this.#releases.clear();
    this.#pending.settle(new ChatClientError('CLOSED', 'The view was closed'));
  }

  protected override start(): void {
    this.room.views.add(this);
    if (this.room.isJoined()) this.load();
  }

  protected override stop(): void {
    this.room.views.delete(this);
    this.#loading = undefined;
    this.#backoff.stop();
    this.isLoaded = false;
  }

  /** Also called after the room has missed more than the service replays. */
  load(): void {
    if (!this.connection.link) return;
    const list = this.createList();
    this.isLoaded = false;
    this.#loading = list;
    if (!this.#wasLoaded) this.list = list;
    list.startLoading();
    const isWanted = () => list === this.#loading;
    list.load((error) => {
      this.#loading = undefined;
      list.finishLoading();
      if (error?.isRetryable) return this.#backoff.wait(() => this.load(), error.retryAfterMs);
      // If the connection is lost, the room calls `load` when it is joined again.
      if (error?.isConnectionLoss) return;
      this.error = error;
      if (!error) {
        const isReset = this.#wasLoaded;
        this.list = list;
        this.isLoaded = this.#wasLoaded = true;
        this.#backoff.reset();
        if (isReset) this.emit('reset', undefined);
      }
      this.changed();
      this.#pending.settle(error);
    }, isWanted);
  }

  apply(change: ChangeEvent): void {
    for (const list of this.lists) {
      const message = list.apply(change);
      if (message && list === this.list && list.find(message.seq)) this.handleMessage(message);
    }
  }
}
