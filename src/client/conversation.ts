import { type Action, ActionQueue, type QueuedAction } from './action-queue.ts';
import type { EditOptions, Operation, Outgoing, RoomEvents, RoomSnapshot, SendOptions } from './api.ts';
import type { LoadedView } from './loaded-view.ts';
import { isSameEmoji, type Message, toggleReaction, toMessage } from './message.ts';
import { MessageList, type MessageListOptions } from './message-list.ts';
import { MessageView } from './message-view.ts';
import { isMessage, Outbox, type QueuedMessage, toWireOptions } from './outbox.ts';
import type { RoomConnection } from './room-connection.ts';
import { Thread } from './thread.ts';
import { Window } from './window.ts';
import type { Ack, ChangeEvent } from './wire.ts';

type Edit = Action<Message, 'message:edit'> & { fields: object };
type Reaction = Action<Message['reactions'], 'reaction:add' | 'reaction:remove'> & { emoji: string; added: boolean };

const hasFields = (message: Message, fields: object) =>
  Object.entries(fields).every(
    ([name, value]) => JSON.stringify(message[name as keyof Message]) === JSON.stringify(value),
  );

/** The messages of a room and its threads, and the user's changes to them. */
export abstract class Conversation extends MessageView<RoomEvents, RoomSnapshot> {
  readonly ref: number | string;
  readonly queue: ActionQueue;
  protected readonly connection: RoomConnection;
  readonly queuedMessages: Outbox;
  /** The threads and windows that something listens to. */
  readonly views = new Set<LoadedView<object>>();
  readonly #threads = new Map<number, Thread>();

  constructor(connection: RoomConnection, ref: number | string) {
    super();
    this.ref = ref;
    this.connection = connection;
    this.queue = new ActionQueue(connection, {
      isReady: () => this.isReady,
      onChanged: (queued) => {
        for (const list of this.#lists) list.refresh(queued.action.seqs ?? []);
        this.#handleQueued(queued);
      },
    });
    this.queuedMessages = new Outbox(connection, this);
  }

  /** Whether the room has received what it missed, or is not joined at all. */
  protected abstract readonly isReady: boolean;

  /** Called when a mark or personal settings have been added to the queue, or have ended. */
  protected abstract handleOwnRead(): void;
  abstract isShown(rev: number): boolean;
  abstract handleSent(ack: Ack<'message:send'>): void;

  get outbox(): readonly Outgoing[] {
    return this.queuedMessages.all;
  }

  createList(
    onChanged: (message: Message) => void,
    options: Pick<MessageListOptions, 'before' | 'around' | 'thread'>,
  ): MessageList {
    const { connection, ref } = this;
    return new MessageList({ ...options, connection, ref, onChanged, show: (message) => this.queue.show(message) });
  }

  isJoined(): boolean {
    return this.list !== undefined && this.isReady;
  }

  abstract joined(): Promise<void>;

  around(seq: number): Window {
    return new Window(this.connection, this, seq);
  }

  thread(seq: number): Thread {
    let thread = this.#threads.get(seq);
    if (!thread) {
      thread = new Thread(this.connection, this, seq);
      this.#threads.set(seq, thread);
    }
    return thread;
  }

  closeThread(seq: number): void {
    this.#threads.delete(seq);
  }

  protected apply(change: ChangeEvent): void {
    const message = this.list?.apply(change);
    for (const view of this.views) view.apply(change);
    this.#settleReactions(change);
    if (message) this.handleMessage(message);
  }

  /** Call this when everything that was missed has been applied. */
  protected continue(isNewTimeline: boolean): void {
    for (const view of this.views) if (isNewTimeline || !view.isLoaded) view.load();
    this.queue.sendNext();
  }

  send(content: string, options: SendOptions = {}): QueuedMessage {
    return this.queuedMessages.send(content, options);
  }

  edit(seq: number, change: string | EditOptions): Operation<Message> {
    const fields = toWireOptions(typeof change === 'string' ? { content: change } : change);
    const key = `edit ${seq}`;
    const findBase = () => this.#lists.map((list) => list.findBase(seq)).find(Boolean);
    let base = findBase()?.version;
    const edit: Edit = {
      ...{ name: 'message:edit', key, seqs: [seq], fields },
      show: (message) => ({ ...message, pending: 'edit' }),
      restart: (version = findBase()?.version) => {
        base = version;
      },
      toPayload: (overtaken) => {
        const present = findBase();
        // If an earlier edit of this client was stored but its answer was lost, that edit is no conflict.
        if (present && overtaken.some((other) => hasFields(present, (other as Edit).fields))) base = present.version;
        return { room_id: this.ref, seq, ...fields, ...(base !== undefined && { base }) };
      },
      confirm: ({ message }) => {
        for (const list of this.#lists) list.merge(message);
        for (const { action } of this.queue.changes) if (action.key === key) action.restart?.(message.version);
        return findBase() ?? toMessage(message);
      },
    };
    return this.queue.add(edit);
  }

  delete(seq: number | readonly number[]): Operation<void> {
    const seqs = [seq].flat();
    return this.queue.add({
      name: 'message:delete',
      key: `delete ${seqs}`,
      seqs,
      show: (message) => ({ ...message, pending: 'delete' }),
      toPayload: () => ({ room_id: this.ref, seqs }),
      confirm: () => {
        for (const list of this.#lists) list.bury(seqs);
      },
    });
  }

  react(seq: number, emoji: string, added = true): Operation<Message['reactions']> {
    const reaction: Reaction = {
      name: added ? 'reaction:add' : 'reaction:remove',
      key: `react ${seq} ${emoji}`,
      seqs: [seq],
      emoji,
      added,
      show: (message) =>
        message.deletedAt ? message : { ...message, reactions: toggleReaction(message.reactions, emoji, added) },
      toPayload: () => ({ room_id: this.ref, seq, emoji }),
      confirm: ({ reactions, rev }) => {
        for (const list of this.#lists) list.setReactions(seq, rev, reactions);
        return reactions;
      },
    };
    return this.queue.add(reaction);
  }

  unreact(seq: number, emoji: string): Operation<Message['reactions']> {
    return this.react(seq, emoji, false);
  }

  #handleQueued(queued: QueuedAction): void {
    if (isMessage(queued)) this.emit('outgoing', this.queuedMessages.handleQueued(queued));
    else if (!queued.action.seqs) this.handleOwnRead();
    this.changed();
  }

  get #lists(): MessageList[] {
    return [...(this.list ? [this.list] : []), ...[...this.views].flatMap(({ lists }) => lists)];
  }

  /**
   * The log shows that the service has stored a reaction whose answer was lost. It must not be repeated, because the
   * user may have changed it since then, on another device.
   */
  #settleReactions({ name, payload }: ChangeEvent): void {
    const user = this.connection.claims?.user;
    if ((name !== 'reaction:changed' && name !== 'message:changed') || !payload.changes) return;
    const { changes, seq, reactions = [] } = payload;
    this.queue.settleChanges(({ action, wasSent }) => {
      const { emoji, added, seqs } = action as unknown as Partial<Reaction>;
      return (
        wasSent &&
        emoji !== undefined &&
        seqs!.includes(seq) &&
        changes.some((done) => done.user === user && done.added === added && isSameEmoji(done.emoji, emoji))
      );
    }, reactions);
  }
}
