import { addressOf } from './address.ts';
import type { ClientOptions, ConnectionState } from './api.ts';
import { type Claims, claimsOf } from './claims.ts';
import { ChatClientError } from './client-error.ts';
import { Line, type LineEvents } from './line.ts';
import { defaultTimings, pauseAfter, type Timings } from './timings.ts';
import { freshToken } from './token.ts';
import { TokenRefresh } from './token-refresh.ts';
import type { Announcements } from './wire.ts';

/** What the rooms know of it. */
export interface Connected {
  readonly timings: Timings;
  readonly maxMessages: number;
  readonly maxOutbox: number;
  readonly state: ConnectionState;
  /** Why it is `refused`. */
  readonly refusal: ChatClientError | undefined;
  /** While it is up. */
  readonly line: Pick<Line, 'ask'> | undefined;
  /** What the token in use says of rights. */
  readonly claims: Claims | undefined;
}

export interface ConnectionEvents {
  state(state: ConnectionState): void;
  error(error: ChatClientError): void;
  up(): void;
  down(): void;
  refused(why: ChatClientError): void;
  /** The token in use says something else of rights than the one before. */
  rightsMayDiffer(): void;
  heard(name: string, payload: never): void;
  frame: LineEvents['frame'];
}

/** Tokens that did not hold, one after the other, before it is given up. */
const mostBadTokens = 3;
/** A token that holds later than this is not waited for: the function may give another one. */
const maxEarlyMs = 60_000;
/** A line that held for so long was a good one: the pauses begin anew. */
const goodLineMs = 5_000;
const tokenTrouble = ['UNAUTHENTICATED', 'TOKEN_EXPIRED', 'TOKEN_REVOKED'];

/** One line after the other, each with a fresh token, until it is closed or refused for good. */
export class Connection implements Connected {
  readonly timings: Timings;
  readonly maxMessages: number;
  readonly maxOutbox: number;
  claims: Claims | undefined;
  state: ConnectionState = 'connecting';
  line: Line | undefined;
  refusal: ChatClientError | undefined;
  readonly #options: ClientOptions;
  readonly #address: ReturnType<typeof addressOf>;
  readonly #events: ConnectionEvents;
  /** The line that is up or being made; what an earlier one says is of no interest. */
  #current: Line | undefined;
  /** Which try it is; what comes of an earlier one is of no interest. */
  #try = 0;
  /** A line is up or being made, or a token is asked for it. */
  #isBusy = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #refresh: TokenRefresh | undefined;
  #failures = 0;
  #badTokens = 0;
  #upSince = 0;
  /** A token that was not valid yet: the next connection is made with it. */
  #early: string | undefined;
  /** Not before, says a server that drains. */
  #awayUntil = 0;

  constructor(options: ClientOptions, events: ConnectionEvents) {
    this.#options = options;
    this.#address = addressOf(options.url);
    this.timings = { ...defaultTimings, ...options.timings };
    this.maxMessages = options.maxMessages ?? 1_000;
    this.maxOutbox = options.maxOutbox ?? 1_000;
    if (!(this.maxMessages >= 1 && this.maxOutbox >= 1))
      throw new TypeError('maxMessages and maxOutbox must be at least 1');
    this.#events = events;
  }

  /** Now, where it is not up and none is being made. */
  dial(): void {
    if (this.state === 'closed' || this.#isBusy) return;
    this.#isBusy = true;
    if (this.refusal) this.#badTokens = 0;
    this.refusal = undefined;
    const attempt = this.#begin();
    this.#enter('connecting');
    void this.#dial(attempt);
  }

  /** Where it waits to try again, it need not any more. */
  hurry(): void {
    if (this.#timer && performance.now() >= this.#awayUntil) this.dial();
  }

  close(): void {
    this.#begin();
    this.#enter('closed');
    this.#current?.close();
  }

  #begin(): number {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#refresh?.stop();
    return ++this.#try;
  }

  async #dial(attempt: number): Promise<void> {
    let token: string;
    try {
      token = this.#early ?? (await this.#askToken());
      this.#early = undefined;
    } catch (error) {
      if (attempt === this.#try) this.#comeBack(error as ChatClientError);
      return;
    }
    if (attempt !== this.#try) return;
    const { transports } = this.#options;
    const dial = { ...this.#address, token, ...(transports && { transports }) };
    try {
      this.#current = new Line(dial, this.timings, {
        up: () => this.#up(token),
        down: (why) => this.#down(why, token),
        heard: (name, payload) => this.#hear(name, payload),
        frame: this.#events.frame,
      });
    } catch (error) {
      // Options that socket.io-client does not take, such as a transport that there is not.
      this.#down(new ChatClientError('BAD_REQUEST', (error as Error).message, { cause: error }));
    }
  }

  #up(token: string): void {
    const line = this.#current!;
    this.line = line;
    this.#refresh = new TokenRefresh(line, {
      askToken: () => this.#askToken(),
      refreshed: (fresh) => this.#refreshed(fresh),
      failed: (error) => this.#events.error(error),
    });
    this.#upSince = performance.now();
    this.#badTokens = 0;
    this.claims = claimsOf(token);
    this.#events.up();
    this.#enter('connected');
  }

  #down(why: ChatClientError, token?: string): void {
    const wasUp = this.line !== undefined;
    this.line = this.#current = undefined;
    this.#isBusy = false;
    const attempt = this.#begin();
    if (this.state === 'closed') return;
    if (wasUp) {
      if (performance.now() - this.#upSince >= goodLineMs) this.#failures = 0;
      this.#events.down();
      // Who hears of it may dial, or close.
      if (attempt !== this.#try) return;
    }
    if (isEarly(why)) {
      if (why.retryAfterMs! <= maxEarlyMs) this.#early = token;
      this.#comeBack(why);
    } else if (this.#isFinal(why, wasUp)) {
      this.refusal = why;
      this.#enter('refused');
      this.#events.refused(why);
      this.#events.error(why);
    } else this.#comeBack(why);
  }

  /** A token that was revoked under a live connection may be followed by one that holds: the backend is asked. */
  #isFinal({ code, isForNow }: ChatClientError, wasUp: boolean): boolean {
    if (code === 'TOKEN_REVOKED') return !wasUp;
    if (tokenTrouble.includes(code)) return ++this.#badTokens >= mostBadTokens;
    return !isForNow && code !== 'UNREACHABLE';
  }

  #comeBack(why: ChatClientError): void {
    this.#isBusy = false;
    const pause = Math.max(pauseAfter(this.#failures++, this.timings), Math.min(why.retryAfterMs ?? 0, maxEarlyMs));
    this.#timer = setTimeout(() => this.dial(), Math.max(pause, this.#awayUntil - performance.now()));
    this.#enter('connecting');
    this.#events.error(why);
  }

  #enter(state: ConnectionState): void {
    if (this.state === state || this.state === 'closed') return;
    this.state = state;
    this.#events.state(state);
  }

  #hear(name: string, payload: never): void {
    if (name === 'token:expiring') this.#refresh?.before((payload as Announcements['token:expiring']).in_ms);
    else if (name === 'server:draining') {
      this.#awayUntil = performance.now() + (payload as Announcements['server:draining']).reconnect_after_ms;
    } else this.#events.heard(name, payload);
  }

  #refreshed(token: string): void {
    const before = JSON.stringify(this.claims);
    this.claims = claimsOf(token);
    if (!this.claims || JSON.stringify(this.claims) !== before) this.#events.rightsMayDiffer();
  }

  #askToken(): Promise<string> {
    return freshToken(this.#options.token, this.timings.tokenMs);
  }
}

/** Signed by a clock that is ahead: it will hold, and the service says when. */
const isEarly = ({ code, retryAfterMs }: ChatClientError) => code === 'UNAUTHENTICATED' && retryAfterMs !== undefined;
