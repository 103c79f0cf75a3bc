import type { ChatClientError } from './client-error.ts';
import type { Line } from './line.ts';

interface Holder {
  askToken(): Promise<string>;
  refreshed(token: string): void;
  failed(error: ChatClientError): void;
}

/** The least pause, where the token function gives one that is about to end again and again. */
const leastPauseMs = 1_000;

/** Fresh tokens for one line that stays up. */
export class TokenRefresh {
  readonly #line: Line;
  readonly #holder: Holder;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;

  constructor(line: Line, holder: Holder) {
    this.#line = line;
    this.#holder = holder;
  }

  /**
   * Well before the end, but neither at once nor with all other clients. What is refused is tried again until the line
   * ends; the next line has a token of its own.
   */
  before(leftMs: number): void {
    clearTimeout(this.#timer);
    const pause = Math.max(leastPauseMs, (leftMs / 4) * (1 + Math.random()));
    this.#timer = setTimeout(async () => {
      try {
        const token = await this.#holder.askToken();
        if (!this.#isOver) this.#send(token, leftMs);
      } catch (error) {
        this.#failed(error as ChatClientError, leftMs);
      }
    }, pause);
  }

  stop(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  #send(token: string, leftMs: number): void {
    this.#line.ask('token:refresh', { token }, (error) => {
      if (error) this.#failed(error, leftMs);
      else this.#holder.refreshed(token);
    });
  }

  #failed(error: ChatClientError, leftMs: number): void {
    if (this.#isOver) return;
    this.#holder.failed(error);
    this.before(leftMs / 2);
  }
}
