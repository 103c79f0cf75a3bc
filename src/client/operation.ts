import type { Operation } from './api.ts';
import type { ChatClientError } from './errors.ts';

/** An operation fails after this many `INTERNAL` errors, so that it does not block others forever. */
const maxInternalErrors = 5;

/** An action of the user that the service may not have acknowledged yet. Only queues call the `mark…` methods. */
export abstract class PendingOperation<T> implements Operation<T> {
  state: Operation<T>['state'] = 'pending';
  error: ChatClientError | undefined;
  confirmed!: Promise<T>;
  #internalErrors = 0;
  #settle!: { resolve(result: T): void; reject(error: ChatClientError): void };

  constructor() {
    this.markPending();
  }

  abstract retry(): void;
  abstract discard(): void;

  markPending(): void {
    this.state = 'pending';
    this.error = undefined;
    this.#internalErrors = 0;
    this.confirmed = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Without this, a failure would cause an unhandled rejection if the application does not use the promise.
    this.confirmed.catch(() => {});
  }

  /** May also be called for a failed operation: the service may have applied it, although the client got no answer. */
  markSent(result: T): void {
    if (this.state === 'failed') this.markPending();
    this.state = 'sent';
    this.#settle.resolve(result);
  }

  markFailed(error: ChatClientError): void {
    this.state = 'failed';
    this.error = error;
    this.#settle.reject(error);
  }

  /** Whether a retry makes no sense after this refusal. */
  isFinal({ code, isRetryable }: ChatClientError): boolean {
    if (code === 'INTERNAL') this.#internalErrors += 1;
    return !isRetryable || this.#internalErrors >= maxInternalErrors;
  }
}
