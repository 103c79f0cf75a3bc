import type { ActionQueue, QueuedAction } from './action-queue.ts';
import type { EditOptions, Outgoing, SendOptions } from './api.ts';
import { createMessageId, type Message, toMessage } from './message.ts';
import type { RoomConnection } from './room-connection.ts';
import type { Ack, WireMessage } from './wire.ts';

/** A message in the outbox. */
export type QueuedMessage = QueuedAction<Message> &
  Outgoing & {
    /** The message's position in the log. Undefined until the message is stored. */
    rev?: number;
  };

export const isMessage = (queued: object): queued is QueuedMessage => 'client_msg_id' in queued;

/** The options of a message or an edit, as the service names them. */
export function toWireOptions<O extends SendOptions | EditOptions>(given: O) {
  const { replyTo, mentionRoom, ...options } = given as SendOptions;
  return {
    ...options,
    ...(replyTo !== undefined && { reply_to: replyTo }),
    ...(mentionRoom !== undefined && { mention_room: mentionRoom }),
  };
}

interface OutboxRoom {
  readonly ref: number | string;
  readonly queue: ActionQueue;
  /**
   * Called with the acknowledgement of a message. It contains the same change as the event `message:new`, and may arrive
   * before or after it.
   */
  handleSent(ack: Ack<'message:send'>): void;
}

/** The messages in the queue of a room. The service stores each only once, because all attempts have the same id. */
export class Outbox {
  /** A new array after each change. */
  all: readonly QueuedMessage[] = [];
  readonly #connection: RoomConnection;
  readonly #room: OutboxRoom;

  constructor(connection: RoomConnection, room: OutboxRoom) {
    this.#connection = connection;
    this.#room = room;
  }

  send(content: string, options: SendOptions): QueuedMessage {
    const { ref, queue } = this.#room;
    const client_msg_id = createMessageId();
    const outgoing: QueuedMessage = Object.assign(
      queue.create<Message, 'message:send'>({
        name: 'message:send',
        toPayload: () => ({ room_id: ref, content, client_msg_id, ...toWireOptions(options) }),
        confirm: (ack) => {
          outgoing.rev = ack.rev;
          this.#room.handleSent(ack);
          return toMessage(ack.message);
        },
      }),
      { client_msg_id, content, options },
    );
    queue.enqueue(outgoing as QueuedAction);
    return outgoing;
  }

  /** If the message of the log comes from this outbox, it is marked as sent: its acknowledgement may be lost. */
  handleMessage(message: WireMessage, rev: number): void {
    const { emitter, client_msg_id } = message;
    const { user = emitter } = this.#connection.claims ?? {};
    this.#room.queue.settleWhere((queued) => {
      // Another user may have sent a message with the same `client_msg_id`. The content may have been edited meanwhile.
      const isMine =
        isMessage(queued) && queued.state !== 'sent' && queued.client_msg_id === client_msg_id && user === emitter;
      if (isMine) queued.rev = rev;
      return isMine;
    }, toMessage(message));
  }

  /** Removes sent messages that `messages` now contains, so that a view of both arrays shows each message only once. */
  update(isShown: (rev: number) => boolean, hasChanged = false): void {
    const { queue } = this.#room;
    queue.remove((queued) => isMessage(queued) && queued.state === 'sent' && isShown(queued.rev!));
    const messages = queue.all.filter(isMessage);
    if (hasChanged || messages.length !== this.all.length) this.all = messages;
  }
}
