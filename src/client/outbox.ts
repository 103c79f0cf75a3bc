import type { EditOptions, Outgoing, SendOptions } from './api.ts';
import { computeBackoffMs, type RoomConnection } from './connection.ts';
import { ChatClientError } from './errors.ts';
import { type Message, splitPayload, toMessage } from './message.ts';
import { PendingOperation } from './operation.ts';
import type { Ack, ServerEventPayloads } from './wire.ts';

interface OutboxRoom {
  ref: number | string;
  onChanged(outgoing: OutgoingMessage): void;
  /**
   * Called with the acknowledgement of a message. It contains the same change as the event `message:new`, and may arrive
   * before or after it.
   */
  onAcknowledged(ack: Ack<'message:send'>): void;
}

/**
 * The messages of a room that are not stored yet. The outbox sends one message at a time. Otherwise, if the service
 * refused a message temporarily, the next message could overtake it. The outbox repeats a message with the same
 * `client_msg_id` until the service answers, so the service stores the message only once.
 */
export class Outbox {
  readonly #connection: RoomConnection;
  readonly #room: OutboxRoom;
  #all: OutgoingMessage[] = [];
  #sending: OutgoingMessage | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;

  constructor(connection: RoomConnection, room: OutboxRoom) {
    this.#connection = connection;
    this.#room = room;
  }

  get all(): readonly OutgoingMessage[] {
    return this.#all;
  }

  send(content: string, options: SendOptions): OutgoingMessage {
    const outgoing = new OutgoingMessage(content, options, this);
    this.enqueue(outgoing);
    return outgoing;
  }

  /** Puts the message at the end of the outbox. A failed message that is already in the outbox moves to the end. */
  enqueue(outgoing: OutgoingMessage): void {
    const others = this.#all.filter((other) => other !== outgoing);
    if (others.length >= this.#connection.maxOutbox) {
      return this.#markFailed(outgoing, new ChatClientError('LIMIT', "The room's outbox is full: discard or wait"));
    }
    this.#all = [...others, outgoing];
    if (outgoing.state === 'failed') outgoing.markPending();
    this.#room.onChanged(outgoing);
    this.#sendNext();
  }

  remove(outgoing: OutgoingMessage): void {
    this.#all = this.#all.filter((other) => other !== outgoing);
    this.#room.onChanged(outgoing);
  }

  /** Call this after a reconnect. Sends the first pending message, even if it was sent before: its answer is lost. */
  resume(): void {
    this.#setRetryTimer(undefined);
    this.#sending = undefined;
    this.#failures = 0;
    this.#sendNext();
  }

  /**
   * Call this for every message that appears in the log. If it comes from this outbox, it is marked as sent, because its
   * acknowledgement may be lost.
   */
  handleMessage(payload: ServerEventPayloads['message:new']): void {
    const { rev, message } = splitPayload(payload);
    const { user = message.emitter } = this.#connection.claims ?? {};
    // Another user may have sent a message with the same `client_msg_id`. The content may have been edited meanwhile.
    const outgoing = this.#all.find(
      ({ state, client_msg_id }) =>
        state !== 'sent' && client_msg_id === message.client_msg_id && user === message.emitter,
    );
    if (outgoing) this.#markSent(outgoing, toMessage(message), rev);
  }

  /** Removes sent messages that `messages` now contains, so that a view of both arrays shows each message only once. */
  removeShown(isShown: (rev: number) => boolean): void {
    const remaining = this.#all.filter(({ state, rev }) => state !== 'sent' || !isShown(rev!));
    if (remaining.length < this.#all.length) this.#all = remaining;
  }

  close(): void {
    this.#setRetryTimer(undefined);
    this.#sending = undefined;
    const error = new ChatClientError('CLOSED', 'The client is closed');
    for (const outgoing of this.#all.filter(({ state }) => state === 'pending')) this.#markFailed(outgoing, error);
  }

  #sendNext(): void {
    const { link, state } = this.#connection;
    if (state === 'closed') return this.close();
    const outgoing = this.#all.find(({ state }) => state === 'pending');
    if (!link || !outgoing || this.#sending || this.#retryTimer) return;
    this.#sending = outgoing;
    const { client_msg_id, content, options } = outgoing;
    const payload = { room_id: this.#room.ref, content, client_msg_id, ...toWireOptions(options) };
    link.request('message:send', payload, (error, ack) => {
      // If the connection was lost, `resume` will send the message again.
      if (this.#sending !== outgoing || error?.isConnectionLoss) return;
      this.#sending = undefined;
      if (error) this.#handleRefusal(outgoing, error);
      else {
        this.#failures = 0;
        this.#markSent(outgoing, toMessage(ack.message), ack.rev);
        this.#room.onAcknowledged(ack);
      }
      this.#sendNext();
    });
  }

  #handleRefusal(outgoing: OutgoingMessage, error: ChatClientError): void {
    if (outgoing.isFinal(error)) return this.#markFailed(outgoing, error);
    this.#setRetryTimer(error.retryAfterMs ?? computeBackoffMs(this.#failures++, this.#connection.timeouts));
  }

  #setRetryTimer(delayMs: number | undefined): void {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    if (delayMs === undefined) return;
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined;
      this.#sendNext();
    }, delayMs);
  }

  #markSent(outgoing: OutgoingMessage, message: Message, rev: number): void {
    if (this.#sending === outgoing) this.#sending = undefined;
    outgoing.rev = rev;
    outgoing.markSent(message);
    this.#room.onChanged(outgoing);
    this.#sendNext();
  }

  #markFailed(outgoing: OutgoingMessage, error: ChatClientError): void {
    outgoing.markFailed(error);
    this.#room.onChanged(outgoing);
  }
}

/** The options of a message or an edit, as the service names them. */
export function toWireOptions<O extends SendOptions | EditOptions>(given: O) {
  const { replyTo, mentionRoom, ...options } = given as SendOptions;
  return {
    ...options,
    ...(replyTo !== undefined && { reply_to: replyTo }),
    ...(mentionRoom !== undefined && { mention_room: mentionRoom }),
  };
}

/** A message in the outbox. */
class OutgoingMessage extends PendingOperation<Message> implements Outgoing {
  readonly client_msg_id = createMessageId();
  readonly content: string;
  readonly options: SendOptions;
  /** The message's position in the log. Undefined until the message is stored. */
  rev: number | undefined;
  readonly #outbox: Pick<Outbox, 'enqueue' | 'remove'>;

  constructor(content: string, options: SendOptions, outbox: Pick<Outbox, 'enqueue' | 'remove'>) {
    super();
    this.content = content;
    this.options = options;
    this.#outbox = outbox;
  }

  retry(): void {
    if (this.state === 'failed') this.#outbox.enqueue(this);
  }

  discard(): void {
    if (this.state === 'failed') this.#outbox.remove(this);
  }
}

/**
 * Declared here, because the project compiles without the types of the DOM. `randomUUID` does not exist in React Native,
 * nor on pages without https.
 */
const { crypto } = globalThis as { crypto?: { randomUUID?(): string } };

const createDigits = () => Math.random().toString(36).slice(2);

/** Creates a `client_msg_id`. It only has to be unique among the messages of one user in one room. */
export function createMessageId(): string {
  return crypto?.randomUUID?.() ?? `${Date.now().toString(36)}-${createDigits()}-${createDigits()}`;
}
