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
    saved: boolean;
    /** What the application has seen last. */
    view?: Outgoing;
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
  /** Whether `messages` contains the sent message with this `rev`, or the room does not follow its log. */
  isShown(rev: number): boolean;
}

/**
 * The messages in the queue of a room. The service stores each only once, because all attempts have the same id. The
 * application sees frozen copies, and a copy is replaced when the message changes its state.
 */
export class Outbox {
  readonly #connection: RoomConnection;
  readonly #room: OutboxRoom;
  /** Undefined after a change, until it is read. */
  #all: readonly Outgoing[] | undefined;
  /** The stored messages that are still in the queue. */
  readonly #sent = new Set<QueuedMessage>();

  constructor(connection: RoomConnection, room: OutboxRoom) {
    this.#connection = connection;
    this.#room = room;
  }

  get all(): readonly Outgoing[] {
    this.#all ??= Array.from(this.#room.queue.messages.values(), (queued) => toView(queued as QueuedMessage));
    return this.#all;
  }

  send(content: string, given: SendOptions): QueuedMessage {
    const { client_msg_id, ...options } = given;
    const { queue } = this.#room;
    const known = queue.messages.get(client_msg_id!) as QueuedMessage | undefined;
    if (known) return known;
    const outgoing = this.create(content, options, client_msg_id ?? createMessageId());
    queue.enqueue(outgoing as QueuedAction);
    return outgoing;
  }

  create(content: string, options: SendOptions, id: string): QueuedMessage {
    const { ref, queue } = this.#room;
    const outgoing: QueuedMessage = Object.assign(
      queue.create<Message, 'message:send'>({
        ...{ name: 'message:send', id },
        toPayload: () => ({ room_id: ref, content, client_msg_id: id, ...toWireOptions(options) }),
        confirm: (ack) => {
          outgoing.rev = ack.rev;
          this.#room.handleSent(ack);
          return toMessage(ack.message);
        },
      }),
      { client_msg_id: id, content, options, saved: false },
    );
    return outgoing;
  }

  /** Call this with each new message of the log. If it is in the outbox, it has been sent, even if the acknowledgement was lost. */
  handleMessage(message: WireMessage, rev: number): void {
    const { emitter, client_msg_id } = message;
    const { queue } = this.#room;
    const queued = queue.messages.get(client_msg_id!) as QueuedMessage | undefined;
    // Another user may have sent a message with the same `client_msg_id`. The content may have been edited meanwhile.
    if (queued && queued.state !== 'sent' && (this.#connection.claims?.user ?? emitter) === emitter) {
      queued.rev = rev;
      queue.settle(queued as QueuedAction, toMessage(message));
    }
    this.update();
  }

  /** Call this when a message has been added to the queue, has changed its state, or has been removed. */
  handleQueued(queued: QueuedMessage): Outgoing {
    this.#all = undefined;
    if (queued.state === 'sent') this.#sent.add(queued);
    this.update();
    return toView(queued);
  }

  /** Removes sent messages that `messages` now contains, so that a view of both arrays shows each message only once. */
  update(areAllShown = false): void {
    for (const queued of this.#sent) {
      if (!areAllShown && !this.#room.isShown(queued.rev!)) continue;
      this.#sent.delete(queued);
      this.#room.queue.remove(queued as QueuedAction);
      this.#all = undefined;
    }
  }
}

/** The message as it is now. Returns the same object until it changes. */
function toView(queued: QueuedMessage): Outgoing {
  const { state, error, confirmed, client_msg_id, content, options, saved, view } = queued;
  if (view?.state !== state || view.saved !== saved || view.error !== error || view.confirmed !== confirmed) {
    const [retry, discard] = [() => queued.retry(), () => queued.discard()];
    queued.view = Object.freeze({ client_msg_id, content, options, saved, state, error, confirmed, retry, discard });
  }
  return queued.view!;
}
