import { ChatClientError } from './client-error.ts';
import type { RoomConnection } from './connection.ts';
import { OutgoingMessage } from './outgoing.ts';
import { computeBackoffMs } from './timeouts.ts';
import type { Ack, Message } from './wire.ts';

interface OutboxRoom {
  ref: number | string;
  onChanged(one: OutgoingMessage): void;
  /** The answer to a message of ours is a change of the room like its announcement; whichever comes first. */
  onAcknowledged(ack: Ack<'message:send'>): void;
}

/** `INTERNAL` may be what this message does to the service: then it must not keep the others for ever. */
const maxInternalErrors = 5;

/**
 * A room's messages that are not sent yet. One at a time: a message that is refused for now would be overtaken by the
 * next. It is sent under the same id until there is an answer, so it is stored once.
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

  send(content: string): OutgoingMessage {
    const one = new OutgoingMessage(content, this);
    this.enqueue(one);
    return one;
  }

  /** To the end, where what is sent now belongs. */
  enqueue(one: OutgoingMessage): void {
    const others = this.#all.filter((other) => other !== one);
    if (others.length >= this.#connection.maxOutbox) {
      return this.#markFailed(one, new ChatClientError('LIMIT', 'The outbox of the room is full'));
    }
    this.#all = [...others, one];
    if (one.state === 'failed') one.markPending();
    this.#room.onChanged(one);
    this.#sendNext();
  }

  drop(one: OutgoingMessage): void {
    this.#all = this.#all.filter((other) => other !== one);
    this.#room.onChanged(one);
  }

  /** The line is up again: nothing that was asked will be answered. */
  resume(): void {
    this.#setRetryTimer(undefined);
    this.#sending = undefined;
    this.#failures = 0;
    this.#sendNext();
  }

  /** A message of the room, by which one of ours may be known to be stored. */
  handleMessage(message: Message, rev: number): void {
    // Others may have used the same id; with the same content it makes no difference.
    const isSame = ({ state, client_msg_id, content }: OutgoingMessage) =>
      state !== 'sent' && client_msg_id === message.client_msg_id && content === message.content;
    const one = this.#all.find(isSame);
    if (one) this.#markSent(one, message, rev);
  }

  /** What is sent stays until it is among the room's messages, so that a view of both never lacks it. */
  dropShown(isShown: (rev: number) => boolean): void {
    const remaining = this.#all.filter(({ state, rev }) => state !== 'sent' || !isShown(rev!));
    if (remaining.length < this.#all.length) this.#all = remaining;
  }

  /** The client is closed for ever. */
  close(): void {
    this.#setRetryTimer(undefined);
    this.#sending = undefined;
    const error = new ChatClientError('CLOSED', 'The client is closed');
    for (const one of this.#all.filter(({ state }) => state === 'pending')) this.#markFailed(one, error);
  }

  #sendNext(): void {
    const { link, state } = this.#connection;
    if (state === 'closed') return this.close();
    const one = this.#all.find(({ state }) => state === 'pending');
    if (!link || !one || this.#sending || this.#retryTimer) return;
    this.#sending = one;
    const { client_msg_id, content } = one;
    link.request('message:send', { room_id: this.#room.ref, content, client_msg_id }, (error, ack) => {
      // Where the line is lost, `resume` asks again.
      if (this.#sending !== one || error?.isConnectionLoss) return;
      this.#sending = undefined;
      if (error) this.#handleRefusal(one, error);
      else {
        this.#failures = 0;
        this.#markSent(one, ack.message, ack.rev);
        this.#room.onAcknowledged(ack);
      }
      this.#sendNext();
    });
  }

  #handleRefusal(one: OutgoingMessage, error: ChatClientError): void {
    if (error.code === 'INTERNAL') one.internalErrors += 1;
    if (!error.isRetryable || one.internalErrors >= maxInternalErrors) return this.#markFailed(one, error);
    this.#setRetryTimer(error.retryAfterMs ?? computeBackoffMs(this.#failures++, this.#connection.timeouts));
  }

  #setRetryTimer(ms: number | undefined): void {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    if (ms === undefined) return;
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined;
      this.#sendNext();
    }, ms);
  }

  #markSent(one: OutgoingMessage, message: Message, rev: number): void {
    if (this.#sending === one) this.#sending = undefined;
    one.markSent(message, rev);
    this.#room.onChanged(one);
    this.#sendNext();
  }

  #markFailed(one: OutgoingMessage, error: ChatClientError): void {
    one.markFailed(error);
    this.#room.onChanged(one);
  }
}
