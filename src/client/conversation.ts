import type { EditOptions, Operation, Outgoing, RoomEvents, RoomState, SendOptions } from './api.ts';
import { ChangeQueue, type UserChange } from './change-queue.ts';
import type { RoomConnection } from './connection.ts';
import { Emitter } from './emitter.ts';
import { isSameEmoji, type Message, toggleReaction, toMessage } from './message.ts';
import { MessageList } from './message-list.ts';
import { toWireOptions } from './outbox.ts';
import { Thread } from './thread.ts';
import type { ChangeEvent } from './wire.ts';

type Edit = UserChange<Message, 'message:edit'> & { fields: object };

const hasFields = (message: Message, fields: object) =>
  Object.entries(fields).every(
    ([name, value]) => JSON.stringify(message[name as keyof Message]) === JSON.stringify(value),
  );

/** The messages of a room and its threads, and the user's changes to them. */
export abstract class Conversation {
  readonly ref: number | string;
  protected readonly connection: RoomConnection;
  protected readonly emitter = new Emitter<RoomEvents>();
  protected readonly queue: ChangeQueue;
  readonly #threads = new Map<number, Thread>();

  constructor(connection: RoomConnection, ref: number | string) {
    this.ref = ref;
    this.connection = connection;
    this.queue = new ChangeQueue(connection, {
      isReady: () => this.state === 'joined' || !this.isWanted,
      onChanged: (seqs) => {
        for (const list of this.#lists) list.refresh(seqs);
        if (seqs.length === 0) this.emitReads();
      },
    });
  }

  abstract readonly state: RoomState;
  abstract readonly isWanted: boolean;
  /** The messages of the room that are not in a thread. Undefined before the first join. */
  abstract readonly list: MessageList | undefined;

  abstract send(content: string, options?: SendOptions): Outgoing;
  protected abstract handleMessage(message: Message): void;
  /** Called when the pending read marks of the user have changed. */
  protected abstract emitReads(): void;

  on<E extends keyof RoomEvents>(event: E, listener: (payload: RoomEvents[E]) => void): () => void {
    return this.emitter.on(event, listener);
  }

  createList(options: { before?: number; thread?: number; onChanged?(message: Message): void }): MessageList {
    return new MessageList({
      onChanged: (message) => {
        this.emitter.emit('changed', message);
        this.emitUpdate();
      },
      ...options,
      maxMessages: this.connection.maxMessages,
      show: (message) => this.queue.show(message),
      getUser: () => this.connection.claims?.user,
    });
  }

  thread(seq: number): Thread {
    const thread = this.#threads.get(seq) ?? new Thread(this.connection, this, seq);
    this.#threads.set(seq, thread);
    return thread;
  }

  closeThread(seq: number): void {
    this.#threads.delete(seq);
  }

  protected apply(change: ChangeEvent): void {
    const message = this.list?.apply(change);
    for (const thread of this.#threads.values()) thread.apply(change);
    this.#settleReactions(change);
    if (message) this.handleMessage(message);
  }

  /** Call this when everything that was missed has been applied. */
  protected continue(isNewTimeline: boolean): void {
    for (const thread of this.#threads.values()) if (isNewTimeline || !thread.isLoaded) thread.load();
    this.queue.sendNext();
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
      toPayload: ({ overtaken }) => {
        const present = findBase();
        // If an earlier edit of this client was stored but its answer was lost, that edit is no conflict.
        if (present && overtaken.some((other) => hasFields(present, (other as Edit).fields))) base = present.version;
        return { room_id: this.ref, seq, ...fields, ...(base !== undefined && { base }) };
      },
      confirm: ({ message }) => {
        for (const list of this.#lists) list.merge(message);
        for (const later of this.queue.pending) if (later.key === key) later.restart?.(message.version);
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

  react(seq: number, emoji: string): Operation<Message['reactions']> {
    return this.#react(seq, emoji, true);
  }

  unreact(seq: number, emoji: string): Operation<Message['reactions']> {
    return this.#react(seq, emoji, false);
  }

  protected emitUpdate(): void {
    this.emitter.emitDeferred('update', undefined);
  }

  #react(seq: number, emoji: string, added: boolean): Operation<Message['reactions']> {
    const name = added ? 'reaction:add' : 'reaction:remove';
    const change: UserChange<Message['reactions'], typeof name> & { emoji: string; added: boolean } = {
      name,
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
    return this.queue.add(change);
  }

  get #lists(): MessageList[] {
    return [...(this.list ? [this.list] : []), ...[...this.#threads.values()].flatMap(({ lists }) => lists)];
  }

  /**
   * The log shows that the service has stored a reaction whose answer was lost. It must not be repeated, because the
   * user may have changed it since then, on another device.
   */
  #settleReactions({ name, payload }: ChangeEvent): void {
    const user = this.connection.claims?.user;
    if ((name !== 'reaction:changed' && name !== 'message:changed') || !payload.changes) return;
    const { changes, seq, reactions = [] } = payload;
    this.queue.settleWhere((change, wasSent) => {
      const { emoji, added } = change as { emoji?: string; added?: boolean };
      return (
        wasSent &&
        emoji !== undefined &&
        change.seqs.includes(seq) &&
        changes.some((done) => done.user === user && done.added === added && isSameEmoji(done.emoji, emoji))
      );
    }, reactions);
  }
}
