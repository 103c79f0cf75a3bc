import type { ChatClientError } from './errors.ts';

/** Calls of the application that wait for the same thing. */
export class PendingCalls {
  #settles: ((error?: ChatClientError) => void)[] = [];

  wait(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settles.push((error) => (error ? reject(error) : resolve()));
    });
  }

  /** Resolves all of them, or rejects them with the error. */
  settle(error?: ChatClientError): void {
    for (const settle of this.#settles.splice(0)) settle(error);
  }
}
