import { parseServiceUrl } from './address.ts';
import type { ClientOptions, ConnectionState } from './api.ts';
import { type Claims, decodeClaims } from './claims.ts';
import { ChatClientError } from './client-error.ts';
import { Link, type LinkEvents } from './line.ts';
import { computeBackoffMs, defaultTimeouts, type Timeouts } from './timeouts.ts';
import { fetchToken } from './token.ts';
import { TokenRefresh } from './token-refresh.ts';
import type { ServerEventPayloads } from './wire.ts';

/** What the rooms know of it. */
export interface RoomConnection {
  readonly timeouts: Timeouts;
  readonly maxMessages: number;
  readonly maxOutbox: number;
  readonly state: ConnectionState;
  /** Why it is `refused`. */
  readonly refusal: ChatClientError | undefined;
  /** While it is up. */
  readonly link: Pick<Link, 'request'> | undefined;
  /** What the token in use says of rights. */
  readonly claims: Claims | undefined;
}

export interface ConnectionEvents {
  onState(state: ConnectionState): void;
  onError(error: ChatClientError): void;
  onConnect(): void;
  onDisconnect(): void;
  onUnauthorized(error: ChatClientError): void;
  /** The token in use says something else of rights than the one before. */
  onClaimsChanged(): void;
  onEvent(name: string, payload: never): void;
  onFrame: LinkEvents['onFrame'];
}

/** Tokens that did not hold, one after the other, before it is given up. */
const maxInvalidTokens = 3;
/** A token that holds later than this is not waited for: the function may give another one. */
const maxEarlyWaitMs = 60_000;
/** A line that held for so long was a good one: the pauses begin anew. */
const stableLinkMs = 5_000;
const tokenErrorCodes = ['UNAUTHENTICATED', 'TOKEN_EXPIRED', 'TOKEN_REVOKED'];

/** One line after the other, each with a fresh token, until it is closed or refused for good. */
export class Connection implements RoomConnection {
  readonly timeouts: Timeouts;
  readonly maxMessages: number;
  readonly maxOutbox: number;
  claims: Claims | undefined;
  state: ConnectionState = 'connecting';
  link: Link | undefined;
  refusal: ChatClientError | undefined;
  readonly #options: ClientOptions;
  readonly #address: ReturnType<typeof parseServiceUrl>;
  readonly #events: ConnectionEvents;
  /** The line that is up or being made; what an earlier one says is of no interest. */
  #currentLink: Link | undefined;
  /** Which try it is; what comes of an earlier one is of no interest. */
  #attempt = 0;
  /** A line is up or being made, or a token is asked for it. */
  #isBusy = false;
  #reconnectTimer: ReturnType<typeof setTimeout> | undefined;
  #refresh: TokenRefresh | undefined;
  #failures = 0;
  #invalidTokens = 0;
  #connectedAt = 0;
  /** A token that was not valid yet: the next connection is made with it. */
  #earlyToken: string | undefined;
  /** Not before, says a server that drains. */
  #reconnectNotBefore = 0;

  constructor(options: ClientOptions, events: ConnectionEvents) {
    this.#options = options;
    this.#address = parseServiceUrl(options.url);
    this.timeouts = { ...defaultTimeouts, ...options.timeouts };
    this.maxMessages = options.maxMessages ?? 1_000;
    this.maxOutbox = options.maxOutbox ?? 1_000;
    if (!(this.maxMessages >= 1 && this.maxOutbox >= 1))
      throw new TypeError('maxMessages and maxOutbox must be at least 1');
    this.#events = events;
  }

  /** Now, where it is not up and none is being made. */
  connect(): void {
    if (this.state === 'closed' || this.#isBusy) return;
    this.#isBusy = true;
    if (this.refusal) this.#invalidTokens = 0;
    this.refusal = undefined;
    const attempt = this.#startAttempt();
    this.#setState('connecting');
    void this.#openLink(attempt);
  }

  /** Where it waits to try again, it need not any more. */
  retryNow(): void {
    if (this.#reconnectTimer && performance.now() >= this.#reconnectNotBefore) this.connect();
  }

  close(): void {
    this.#startAttempt();
    this.#setState('closed');
    this.#currentLink?.close();
  }

  #startAttempt(): number {
    clearTimeout(this.#reconnectTimer);
    this.#reconnectTimer = undefined;
    this.#refresh?.stop();
    return ++this.#attempt;
  }

  async #openLink(attempt: number): Promise<void> {
    let token: string;
    try {
      token = this.#earlyToken ?? (await this.#fetchToken());
      this.#earlyToken = undefined;
    } catch (error) {
      if (attempt === this.#attempt) this.#scheduleReconnect(error as ChatClientError);
      return;
    }
    if (attempt !== this.#attempt) return;
    const { transports } = this.#options;
    const linkOptions = { ...this.#address, token, ...(transports && { transports }) };
    try {
      this.#currentLink = new Link(linkOptions, this.timeouts, {
        onConnect: () => this.#handleConnect(token),
        onDisconnect: (why) => this.#handleDisconnect(why, token),
        onEvent: (name, payload) => this.#handleEvent(name, payload),
        onFrame: this.#events.onFrame,
      });
    } catch (error) {
      // Options that socket.io-client does not take, such as a transport that there is not.
      this.#handleDisconnect(new ChatClientError('BAD_REQUEST', (error as Error).message, { cause: error }));
    }
  }

  #handleConnect(token: string): void {
    const link = this.#currentLink!;
    this.link = link;
    this.#refresh = new TokenRefresh(link, {
      fetchToken: () => this.#fetchToken(),
      onRefreshed: (fresh) => this.#handleTokenRefreshed(fresh),
      onFailed: (error) => this.#events.onError(error),
    });
    this.#connectedAt = performance.now();
    this.#invalidTokens = 0;
    this.claims = decodeClaims(token);
    this.#events.onConnect();
    this.#setState('connected');
  }

  #handleDisconnect(error: ChatClientError, token?: string): void {
    const wasUp = this.link !== undefined;
    this.link = this.#currentLink = undefined;
    this.#isBusy = false;
    const attempt = this.#startAttempt();
    if (this.state === 'closed') return;
    if (wasUp) {
      if (performance.now() - this.#connectedAt >= stableLinkMs) this.#failures = 0;
      this.#events.onDisconnect();
      // Who hears of it may dial, or close.
      if (attempt !== this.#attempt) return;
    }
    if (isEarly(error)) {
      if (error.retryAfterMs! <= maxEarlyWaitMs) this.#earlyToken = token;
      this.#scheduleReconnect(error);
    } else if (this.#isFinal(error, wasUp)) {
      this.refusal = error;
      this.#setState('unauthorized');
      this.#events.onUnauthorized(error);
      this.#events.onError(error);
    } else this.#scheduleReconnect(error);
  }

  /** A token that was revoked under a live connection may be followed by one that holds: the backend is asked. */
  #isFinal({ code, isRetryable }: ChatClientError, wasUp: boolean): boolean {
    if (code === 'TOKEN_REVOKED') return !wasUp;
    if (tokenErrorCodes.includes(code)) return ++this.#invalidTokens >= maxInvalidTokens;
    return !isRetryable && code !== 'UNREACHABLE';
  }

  #scheduleReconnect(error: ChatClientError): void {
    this.#isBusy = false;
    const delayMs = Math.max(
      computeBackoffMs(this.#failures++, this.timeouts),
      Math.min(error.retryAfterMs ?? 0, maxEarlyWaitMs),
    );
    this.#reconnectTimer = setTimeout(
      () => this.connect(),
      Math.max(delayMs, this.#reconnectNotBefore - performance.now()),
    );
    this.#setState('connecting');
    this.#events.onError(error);
  }

  #setState(state: ConnectionState): void {
    if (this.state === state || this.state === 'closed') return;
    this.state = state;
    this.#events.onState(state);
  }

  #handleEvent(name: string, payload: never): void {
    if (name === 'token:expiring') this.#refresh?.schedule((payload as ServerEventPayloads['token:expiring']).in_ms);
    else if (name === 'server:draining') {
      this.#reconnectNotBefore =
        performance.now() + (payload as ServerEventPayloads['server:draining']).reconnect_after_ms;
    } else this.#events.onEvent(name, payload);
  }

  #handleTokenRefreshed(token: string): void {
    const previousClaims = JSON.stringify(this.claims);
    this.claims = decodeClaims(token);
    if (!this.claims || JSON.stringify(this.claims) !== previousClaims) this.#events.onClaimsChanged();
  }

  #fetchToken(): Promise<string> {
    return fetchToken(this.#options.token, this.timeouts.tokenMs);
  }
}

/** Signed by a clock that is ahead: it will hold, and the service says when. */
const isEarly = ({ code, retryAfterMs }: ChatClientError) => code === 'UNAUTHENTICATED' && retryAfterMs !== undefined;
