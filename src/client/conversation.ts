import type { EditOptions, Operation, Outgoing, SendOptions } from './api.ts';
import { ChangeQueue, type UserChange } from './change-queue.ts';
import type { RoomConnection } from './connection.ts';
import { isSameEmoji, type Message, toggleReaction, toMessage } from './message.ts';
import { MessageList } from './message-list.ts';
import { toWireOptions } from './outbox.ts';
import { Thread } from './thread.ts';
import type { ChangeEvent } from './wire.ts';

interface ConversationRoom {
  readonly ref: number | string;
  /** The messages of the room that are not in a thread. */
  getList(): MessageList | undefined;
  isJoined(): boolean;
  /** Whether changes may be sent. */
  isReady(): boolean;
  send(content: string, options: SendOptions): Outgoing;
  onMessage(message: Message): void;
  onChanged(message: Message): void;
  /** A mark of the user is made or has ended. */
  onMarked(): void;
}

type Edit = UserChange<Message, 'message:edit'> & { fields: object };

const hasFields = (message: Message, fields: object) =>
  Object.entries(fields).every(
    ([name, value]) => JSON.stringify(message[name as keyof Message]) === JSON.stringify(value),
  );

/** The messages of a room and its threads, and what the user does with them. */
export class Conversation {
  readonly queue: ChangeQueue;
  readonly #connection: RoomConnection;
  readonly #room: ConversationRoom;
  readonly #threads = new Map<number, Thread>();

  constructor(connection: RoomConnection, room: ConversationRoom) {
    this.#connection = connection;
    this.#room = room;
    this.queue = new ChangeQueue(connection, {
      isReady: () => room.isReady(),
      onChanged: (seqs) => {
        for (const list of this.#lists) list.refresh(seqs);
        if (seqs.length === 0) room.onMarked();
      },
    });
  }

  createList(options: { before?: number; thread?: number; onChanged?(message: Message): void }): MessageList {
    return new MessageList({
      onChanged: (message) => this.#room.onChanged(message),
      ...options,
      maxMessages: this.#connection.maxMessages,
      show: (message) => this.queue.show(message),
      getUser: () => this.#connection.claims?.user,
    });
  }

  thread(seq: number): Thread {
    const { ref } = this.#room;
    const thread =
      this.#threads.get(seq) ??
      new Thread(
        this.#connection,
        {
          ref,
          createList: (options) => this.createList(options),
          findMessage: (other) => this.#room.getList()?.find(other),
          send: (content, options) => this.#room.send(content, options),
          isJoined: () => this.#room.isJoined(),
          onClosed: () => void this.#threads.delete(seq),
        },
        seq,
      );
    this.#threads.set(seq, thread);
    return thread;
  }

  apply(change: ChangeEvent): void {
    const message = this.#room.getList()?.apply(change);
    for (const thread of this.#threads.values()) thread.apply(change);
    this.#settleReactions(change);
    if (message) this.#room.onMessage(message);
  }

  /** Call this when everything that was missed has been applied. */
  handleJoined(isNewTimeline: boolean): void {
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
        // An earlier edit of this client, whose answer was lost, is no conflict.
        if (present && overtaken.some((other) => hasFields(present, (other as Edit).fields))) base = present.version;
        return { room_id: this.#room.ref, seq, ...fields, ...(base !== undefined && { base }) };
      },
      confirm: ({ message }) => {
        for (const list of this.#lists) list.merge(message);
        for (const later of this.queue.pending) if (later.key === key) later.restart?.(message.version);
        return findBase() ?? toMessage(message);
      },
    };
    return this.queue.add(edit);
  }

  delete(seqs: readonly number[]): Operation<void> {
    return this.queue.add({
      name: 'message:delete',
      key: `delete ${seqs}`,
      seqs,
      show: (message) => ({ ...message, pending: 'delete' }),
      toPayload: () => ({ room_id: this.#room.ref, seqs: [...seqs] }),
      confirm: () => {
        for (const list of this.#lists) list.bury(seqs);
      },
    });
  }

  react(seq: number, emoji: string, added: boolean): Operation<Message['reactions']> {
    const name = added ? 'reaction:add' : 'reaction:remove';
    const change: UserChange<Message['reactions'], typeof name> & { emoji: string; added: boolean } = {
      name,
      key: `react ${seq} ${emoji}`,
      seqs: [seq],
      emoji,
      added,
      show: (message) =>
        message.deletedAt ? message : { ...message, reactions: toggleReaction(message.reactions, emoji, added) },
      toPayload: () => ({ room_id: this.#room.ref, seq, emoji }),
      confirm: ({ reactions, rev }) => {
        for (const list of this.#lists) list.setReactions(seq, rev, reactions);
        return reactions;
      },
    };
    return this.queue.add(change);
  }

  get #lists(): MessageList[] {
    const list = this.#room.getList();
    return [...(list ? [list] : []), ...[...this.#threads.values()].flatMap(({ lists }) => lists)];
  }

  /**
   * The log shows that the service has stored a reaction whose answer was lost. It must not be repeated, because the user
   * may have changed it since then, on another device.
   */
  #settleReactions({ name, payload }: ChangeEvent): void {
    const user = this.#connection.claims?.user;
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
