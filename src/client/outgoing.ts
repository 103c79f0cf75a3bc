import type { Outgoing } from './api.ts';
import type { ChatClientError } from './client-error.ts';
import { newMessageId } from './message-id.ts';
import type { Message } from './wire.ts';

/** What becomes of a message of ours; the outbox decides. */
export class OutgoingMessage implements Outgoing {
  readonly client_msg_id = newMessageId();
  readonly content: string;
  state: Outgoing['state'] = 'pending';
  error: ChatClientError | undefined;
  done!: Promise<Message>;
  /** Refusals of which the service does not know why. */
  defects = 0;
  /** Its place in the log, once it is known. */
  rev: number | undefined;
  readonly #outbox: { again(one: OutgoingMessage): void; drop(one: OutgoingMessage): void };
  #settle!: { resolve(message: Message): void; reject(error: ChatClientError): void };

  constructor(content: string, outbox: { again(one: OutgoingMessage): void; drop(one: OutgoingMessage): void }) {
    this.content = content;
    this.#outbox = outbox;
    this.pend();
  }

  pend(): void {
    this.state = 'pending';
    this.error = undefined;
    this.defects = 0;
    this.done = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.done.catch(() => {}); // also said by `state`
  }

  /** Also one that has failed may be found stored. */
  sent(message: Message, rev: number): void {
    if (this.state === 'failed') this.pend();
    this.state = 'sent';
    this.error = undefined;
    this.rev = rev;
    this.#settle.resolve(message);
  }

  fail(error: ChatClientError): void {
    this.state = 'failed';
    this.error = error;
    this.#settle.reject(error);
  }

  retry(): void {
    if (this.state === 'failed') this.#outbox.again(this);
  }

  discard(): void {
    if (this.state === 'failed') this.#outbox.drop(this);
  }
}
