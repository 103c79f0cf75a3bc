import type { ClientOptions, ConnectionState, Timeouts } from './api.ts';
import { ChatClientError } from './errors.ts';
import { Link, type LinkEvents, type LinkOptions, parseServiceUrl } from './link.ts';
import { type Claims, decodeClaims, fetchToken, TokenRefresh } from './token.ts';
import type { ServerEventPayloads } from './wire.ts';

/** The part of the connection that rooms use. */
export interface RoomConnection {
  readonly timeouts: Timeouts;
  readonly maxMessages: number;
  readonly maxOutbox: number;
  /** What every `room:join` asks for. */
  readonly joinOptions: { reads?: true; presence?: true };
  readonly state: ConnectionState;
  /** The error that made the client `unauthorized`. */
  readonly refusal: ChatClientError | undefined;
  /** Undefined unless connected. */
  readonly link: Pick<Link, 'request'> | undefined;
  /** The claims of the current token. Undefined if they cannot be read. */
  readonly claims: Claims | undefined;
}

export interface ConnectionEvents {
  onState(state: ConnectionState): void;
  onError(error: ChatClientError): void;
  onConnect(): void;
  onDisconnect(): void;
  onUnauthorized(error: ChatClientError): void;
  /** Called if the token was refreshed and has other claims than before, so the rights may have changed. */
  onClaimsChanged(): void;
  onEvent(name: string, payload: never): void;
  onFrame: LinkEvents['onFrame'];
}

type OpenLink = (options: LinkOptions, timeouts: Timeouts, events: LinkEvents) => Pick<Link, 'request' | 'close'>;

export const defaultTimeouts: Timeouts = {
  answerMs: 10_000,
  connectMs: 20_000,
  tokenMs: 30_000,
  backoffMs: 500,
  maxBackoffMs: 10_000,
};

/**
 * Returns the delay before the next attempt. It is a random part of the backoff, at least half, so that clients do not
 * all retry at the same time.
 */
export function computeBackoffMs(failures: number, { backoffMs, maxBackoffMs }: Timeouts): number {
  return Math.min(maxBackoffMs, backoffMs * 2 ** failures) * (0.5 + Math.random() / 2);
}

/** The client gives up after this many rejected tokens in a row. */
const maxRejectedTokens = 3;
/**
 * If a token is not valid yet but becomes valid within this time, the client waits and uses the token. Otherwise the
 * client calls the token function again after this time, because it may return a better token by then.
 */
const maxEarlyWaitMs = 60_000;
/** A connection that lasted at least this long resets the backoff. */
const stableLinkMs = 5_000;
const tokenErrorCodes = ['UNAUTHENTICATED', 'TOKEN_EXPIRED', 'TOKEN_REVOKED'];

/**
 * Opens a link with a token. Whenever a link has ended, opens a new one, until the client is `closed` or `unauthorized`.
 * The first table of STATES.md shows the states and events of the connection.
 */
export class Connection implements RoomConnection {
  readonly timeouts: Timeouts;
  readonly maxMessages: number;
  readonly maxOutbox: number;
  readonly joinOptions: RoomConnection['joinOptions'];
  claims: Claims | undefined;
  state: ConnectionState = 'connecting';
  link: Pick<Link, 'request' | 'close'> | undefined;
  refusal: ChatClientError | undefined;
  readonly #options: ClientOptions;
  readonly #address: ReturnType<typeof parseServiceUrl>;
  readonly #events: ConnectionEvents;
  readonly #createLink: OpenLink;
  /** The link that is connected or being opened. */
  #currentLink: Pick<Link, 'request' | 'close'> | undefined;
  /** The number of the current attempt. Results of earlier attempts are recognised by their numbers and ignored. */
  #attempt = 0;
  /** True while a link is connected or being opened, and while the token function runs. */
  #isBusy = false;
  #reconnectTimer: ReturnType<typeof setTimeout> | undefined;
  #refresh: TokenRefresh | undefined;
  #failures = 0;
  #rejectedTokens = 0;
  #connectedAt = 0;
  /** A token that the service has rejected because it was not valid yet. The next link uses this token again. */
  #earlyToken: string | undefined;
  /** A draining server asks clients not to reconnect before this time, as measured by `performance.now()`. */
  #reconnectNotBefore = 0;

  constructor(options: ClientOptions, events: ConnectionEvents, createLink: OpenLink = (...args) => new Link(...args)) {
    this.#options = options;
    this.#address = parseServiceUrl(options.url);
    this.timeouts = { ...defaultTimeouts, ...options.timeouts };
    this.maxMessages = options.maxMessages ?? 1_000;
    this.maxOutbox = options.maxOutbox ?? 1_000;
    if (!(this.maxMessages >= 1 && this.maxOutbox >= 1))
      throw new TypeError('maxMessages and maxOutbox must be at least 1');
    const { reads = true, presence = true } = options;
    this.joinOptions = { ...(reads && { reads }), ...(presence && { presence }) };
    this.#events = events;
    this.#createLink = createLink;
  }

  /** Has no effect if a link is connected or being opened. */
  connect(): void {
    if (this.state === 'closed' || this.#isBusy) return;
    this.#isBusy = true;
    if (this.refusal) this.#rejectedTokens = 0;
    this.refusal = undefined;
    const attempt = this.#startAttempt();
    this.#setState('connecting');
    void this.#openLink(attempt);
  }

  /** Skips the backoff, but not the delay that a draining server asked for. */
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
      this.#currentLink = this.#createLink(linkOptions, this.timeouts, {
        onConnect: () => this.#handleConnect(token),
        onDisconnect: (error) => this.#handleDisconnect(error, token),
        onEvent: (name, payload) => this.#handleEvent(name, payload),
        onFrame: this.#events.onFrame,
      });
    } catch (error) {
      // socket.io-client throws if an option is wrong, for example if a transport is unknown.
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
    this.#rejectedTokens = 0;
    this.claims = decodeClaims(token);
    this.#events.onConnect();
    this.#setState('connected');
  }

  #handleDisconnect(error: ChatClientError, token?: string): void {
    const wasConnected = this.link !== undefined;
    this.link = this.#currentLink = undefined;
    this.#isBusy = false;
    const attempt = this.#startAttempt();
    if (this.state === 'closed') return;
    if (wasConnected) {
      if (performance.now() - this.#connectedAt >= stableLinkMs) this.#failures = 0;
      this.#events.onDisconnect();
      // A listener may have called connect() or close().
      if (attempt !== this.#attempt) return;
    }
    if (isNotValidYet(error)) {
      if (error.retryAfterMs! <= maxEarlyWaitMs) this.#earlyToken = token;
      this.#scheduleReconnect(error);
    } else if (this.#isFinal(error, wasConnected)) {
      this.refusal = error;
      this.#setState('unauthorized');
      this.#events.onUnauthorized(error);
      this.#events.onError(error);
    } else this.#scheduleReconnect(error);
  }

  #isFinal({ code, isRetryable }: ChatClientError, wasConnected: boolean): boolean {
    // If the token is revoked while the client is connected, the client reconnects with a new token, because the backend
    // may have issued a valid one.
    if (code === 'TOKEN_REVOKED') return !wasConnected;
    if (tokenErrorCodes.includes(code)) return ++this.#rejectedTokens >= maxRejectedTokens;
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

/**
 * Returns whether the service rejected the token because it is not valid yet, for example because the clock of the signer
 * is fast. The token becomes valid after `retryAfterMs`.
 */
const isNotValidYet = ({ code, retryAfterMs }: ChatClientError) =>
  code === 'UNAUTHENTICATED' && retryAfterMs !== undefined;
