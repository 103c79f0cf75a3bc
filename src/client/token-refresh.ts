import type { ChatClientError } from './client-error.ts';
import type { Link } from './line.ts';

interface TokenRefreshEvents {
  fetchToken(): Promise<string>;
  onRefreshed(token: string): void;
  onFailed(error: ChatClientError): void;
}

/** The least pause, where the token function gives one that is about to end again and again. */
const minDelayMs = 1_000;

/** Fresh tokens for one line that stays up. */
export class TokenRefresh {
  readonly #link: Link;
  readonly #events: TokenRefreshEvents;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #hasStopped = false;

  constructor(link: Link, events: TokenRefreshEvents) {
    this.#link = link;
    this.#events = events;
  }

  /**
   * Well before the end, but neither at once nor with all other clients. What is refused is tried again until the line
   * ends; the next line has a token of its own.
   */
  schedule(remainingMs: number): void {
    clearTimeout(this.#timer);
    const delayMs = Math.max(minDelayMs, (remainingMs / 4) * (1 + Math.random()));
    this.#timer = setTimeout(async () => {
      try {
        const token = await this.#events.fetchToken();
        if (!this.#hasStopped) this.#send(token, remainingMs);
      } catch (error) {
        this.#handleFailure(error as ChatClientError, remainingMs);
      }
    }, delayMs);
  }

  stop(): void {
    this.#hasStopped = true;
    clearTimeout(this.#timer);
  }

  #send(token: string, remainingMs: number): void {
    this.#link.request('token:refresh', { token }, (error) => {
      if (error) this.#handleFailure(error, remainingMs);
      else this.#events.onRefreshed(token);
    });
  }

  #handleFailure(error: ChatClientError, remainingMs: number): void {
    if (this.#hasStopped) return;
    this.#events.onFailed(error);
    this.schedule(remainingMs / 2);
  }
}
