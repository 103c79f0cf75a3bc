import type { Outgoing } from './api.ts';
import type { ChatClientError } from './client-error.ts';
import { createMessageId } from './message-id.ts';
import type { Message } from './wire.ts';

/** What becomes of a message of ours; the outbox decides. */
export class OutgoingMessage implements Outgoing {
  readonly client_msg_id = createMessageId();
  readonly content: string;
  state: Outgoing['state'] = 'pending';
  error: ChatClientError | undefined;
  confirmed!: Promise<Message>;
  /** Refusals of which the service does not know why. */
  internalErrors = 0;
  /** Its place in the log, once it is known. */
  rev: number | undefined;
  readonly #outbox: { enqueue(one: OutgoingMessage): void; drop(one: OutgoingMessage): void };
  #settle!: { resolve(message: Message): void; reject(error: ChatClientError): void };

  constructor(content: string, outbox: { enqueue(one: OutgoingMessage): void; drop(one: OutgoingMessage): void }) {
    this.content = content;
    this.#outbox = outbox;
    this.markPending();
  }

  markPending(): void {
    this.state = 'pending';
    this.error = undefined;
    this.internalErrors = 0;
    this.confirmed = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.confirmed.catch(() => {}); // also said by `state`
  }

  /** Also one that has failed may be found stored. */
  markSent(message: Message, rev: number): void {
    if (this.state === 'failed') this.markPending();
    this.state = 'sent';
    this.error = undefined;
    this.rev = rev;
    this.#settle.resolve(message);
  }

  markFailed(error: ChatClientError): void {
    this.state = 'failed';
    this.error = error;
    this.#settle.reject(error);
  }

  retry(): void {
    if (this.state === 'failed') this.#outbox.enqueue(this);
  }

  discard(): void {
    if (this.state === 'failed') this.#outbox.drop(this);
  }
}
