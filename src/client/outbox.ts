import { ChatClientError } from './client-error.ts';
import type { Connected } from './connection.ts';
import { OutgoingMessage } from './outgoing.ts';
import { pauseAfter } from './timings.ts';
import type { Ack, Message } from './wire.ts';

interface Owner {
  ref: number | string;
  changed(one: OutgoingMessage): void;
  /** The answer to a message of ours is a change of the room like its announcement; whichever comes first. */
  acknowledged(ack: Ack<'message:send'>): void;
}

/** `INTERNAL` may be what this message does to the service: then it must not keep the others for ever. */
const mostDefects = 5;

/**
 * A room's messages that are not sent yet. One at a time: a message that is refused for now would be overtaken by the
 * next. It is sent under the same id until there is an answer, so it is stored once.
 */
export class Outbox {
  readonly #connection: Connected;
  readonly #owner: Owner;
  #all: OutgoingMessage[] = [];
  #asked: OutgoingMessage | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;

  constructor(connection: Connected, owner: Owner) {
    this.#connection = connection;
    this.#owner = owner;
  }

  get all(): readonly OutgoingMessage[] {
    return this.#all;
  }

  send(content: string): OutgoingMessage {
    const one = new OutgoingMessage(content, this);
    this.again(one);
    return one;
  }

  /** To the end, where what is sent now belongs. */
  again(one: OutgoingMessage): void {
    const others = this.#all.filter((other) => other !== one);
    if (others.length >= this.#connection.maxOutbox) {
      return this.#failed(one, new ChatClientError('LIMIT', 'The outbox of the room is full'));
    }
    this.#all = [...others, one];
    if (one.state === 'failed') one.pend();
    this.#owner.changed(one);
    this.#next();
  }

  drop(one: OutgoingMessage): void {
    this.#all = this.#all.filter((other) => other !== one);
    this.#owner.changed(one);
  }

  /** The line is up again: nothing that was asked will be answered. */
  resume(): void {
    this.#resting(undefined);
    this.#asked = undefined;
    this.#failures = 0;
    this.#next();
  }

  /** A message of the room, by which one of ours may be known to be stored. */
  saw(message: Message, rev: number): void {
    // Others may have used the same id; with the same content it makes no difference.
    const isIt = ({ state, client_msg_id, content }: OutgoingMessage) =>
      state !== 'sent' && client_msg_id === message.client_msg_id && content === message.content;
    const one = this.#all.find(isIt);
    if (one) this.#sent(one, message, rev);
  }

  /** What is sent stays until it is among the room's messages, so that a view of both never lacks it. */
  shown(isShown: (rev: number) => boolean): void {
    const left = this.#all.filter(({ state, rev }) => state !== 'sent' || !isShown(rev!));
    if (left.length < this.#all.length) this.#all = left;
  }

  /** The client is closed for ever. */
  close(): void {
    this.#resting(undefined);
    this.#asked = undefined;
    const error = new ChatClientError('CLOSED', 'The client is closed');
    for (const one of this.#all.filter(({ state }) => state === 'pending')) this.#failed(one, error);
  }

  #next(): void {
    const { line, state } = this.#connection;
    if (state === 'closed') return this.close();
    const one = this.#all.find(({ state }) => state === 'pending');
    if (!line || !one || this.#asked || this.#timer) return;
    this.#asked = one;
    const { client_msg_id, content } = one;
    line.ask('message:send', { room_id: this.#owner.ref, content, client_msg_id }, (error, ack) => {
      // Where the line is lost, `resume` asks again.
      if (this.#asked !== one || error?.isOfLine) return;
      this.#asked = undefined;
      if (error) this.#refused(one, error);
      else {
        this.#failures = 0;
        this.#sent(one, ack.message, ack.rev);
        this.#owner.acknowledged(ack);
      }
      this.#next();
    });
  }

  #refused(one: OutgoingMessage, error: ChatClientError): void {
    if (error.code === 'INTERNAL') one.defects += 1;
    if (!error.isForNow || one.defects >= mostDefects) return this.#failed(one, error);
    this.#resting(error.retryAfterMs ?? pauseAfter(this.#failures++, this.#connection.timings));
  }

  #resting(ms: number | undefined): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (ms === undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#next();
    }, ms);
  }

  #sent(one: OutgoingMessage, message: Message, rev: number): void {
    if (this.#asked === one) this.#asked = undefined;
    one.sent(message, rev);
    this.#owner.changed(one);
    this.#next();
  }

  #failed(one: OutgoingMessage, error: ChatClientError): void {
    one.fail(error);
    this.#owner.changed(one);
  }
}
