import type { ClientOptions, ConnectionState, Timeouts } from './api.ts';
import { Backoff } from './backoff.ts';
import { ChatClientError } from './errors.ts';
import { createUnreachableError, Link, type LinkEvents, type LinkOptions } from './link.ts';
import { type Limits, type RoomConnection, readLimits } from './room-connection.ts';
import { parseServiceUrl, type ServiceUrl } from './service-url.ts';
import { type Claims, decodeClaims, fetchToken, TokenRefresh } from './token.ts';

export interface ConnectionEvents extends Pick<LinkEvents, 'onEvent' | 'onFrame'> {
  onState(state: ConnectionState): void;
  onError(error: ChatClientError): void;
  onConnect(): void;
  onDisconnect(): void;
  onUnauthorized(error: ChatClientError): void;
  /** Called if the token was refreshed and has other claims than before, so the rights may have changed. */
  onClaimsChanged(): void;
}

type AnyLink = Pick<Link, 'request' | 'close'>;
type OpenLink = (options: LinkOptions, timeouts: Timeouts, events: LinkEvents) => AnyLink;

/** The client gives up after this many rejected tokens in a row. */
const maxRejectedTokens = 3;
/**
 * If a token is not valid yet but becomes valid within this time, the client waits and uses the token. Otherwise the
 * client calls the token function again after this time, because it may return a better token by then.
 */
const maxEarlyWaitMs = 60_000;
/** A connection that lasted at least this long resets the backoff. */
const stableLinkMs = 5_000;
/** A connection that does not answer a check within this time is dead. */
const checkTimeoutMs = 3_000;
const minCheckIntervalMs = 5_000;

/**
 * Opens a link with a token. Whenever a link has ended, opens a new one, until the client is `closed` or `unauthorized`.
 * The first table of STATES.md shows the states and events of the connection.
 */
export class Connection implements RoomConnection {
  readonly limits: Limits;
  claims: Claims | undefined;
  state: ConnectionState = 'connecting';
  link: AnyLink | undefined;
  refusal: ChatClientError | undefined;
  readonly #options: ClientOptions;
  readonly #serviceUrl: ServiceUrl;
  readonly #events: ConnectionEvents;
  readonly #openLink: OpenLink;
  readonly #backoff: Backoff;
  /** The link that is connected or being opened. */
  #currentLink: AnyLink | undefined;
  /** Identifies the current attempt. Results of earlier attempts are ignored. */
  #attempt = {};
  /** True while a link is connected or being opened, and while the token function runs. */
  #isBusy = false;
  #refresh: TokenRefresh | undefined;
  #rejectedTokens = 0;
  #connectedAt = 0;
  /** A token that the service has rejected because it was not valid yet. The next link uses this token again. */
  #earlyToken: string | undefined;
  /** A draining server asks clients not to reconnect before this time, as measured by `performance.now()`. */
  #reconnectNotBefore = 0;
  /** Whether the latest link that has ended was connected. */
  #wasConnected = false;
  #checkedAt = 0;
  #checkTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ClientOptions, events: ConnectionEvents, openLink: OpenLink = (...args) => new Link(...args)) {
    this.#options = options;
    this.#serviceUrl = parseServiceUrl(options.url);
    this.limits = readLimits(options);
    this.#backoff = new Backoff(this.limits);
    this.#events = events;
    const user = options.user?.toLowerCase();
    // Until there is a token.
    if (user) this.claims = { user, entity: undefined, level: '0' };
    this.#openLink = openLink;
  }

  /** Has no effect if a link is being opened. Checks a link that is connected. */
  connect(): void {
    if (this.link) this.#check(this.link);
    if (this.state === 'closed' || this.#isBusy) return;
    this.#isBusy = true;
    if (this.refusal) this.#rejectedTokens = 0;
    this.refusal = undefined;
    const attempt = this.#startAttempt();
    this.#setState('connecting');
    void this.#run(attempt);
  }

  /**
   * Call this if the network may have changed, or the device may have slept: checks the connection, or skips the backoff,
   * but not the delay that a draining server asked for.
   */
  wake(): void {
    if (this.link || (this.#backoff.isWaiting && performance.now() >= this.#reconnectNotBefore)) this.connect();
  }

  close(): void {
    this.#startAttempt();
    this.#setState('closed');
    this.#currentLink?.close();
  }

  /** A call that comes too soon after the last check is made up for at the end of the interval. */
  #check(link: AnyLink): void {
    // `performance.now()` does not count the time while some devices sleep, and `Date.now()` may be set back.
    const waitMs = minCheckIntervalMs - Math.abs(Date.now() - this.#checkedAt);
    clearTimeout(this.#checkTimer);
    if (waitMs > 0) this.#checkTimer = setTimeout(() => this.#sendCheck(link), waitMs);
    else this.#sendCheck(link);
  }

  #sendCheck(link: AnyLink): void {
    this.#checkedAt = Date.now();
    // Every answer shows that the connection is alive, also the refusal of a server that does not know the request.
    const onAnswer = (error: ChatClientError | undefined) => {
      if (error?.code !== 'TIMEOUT') return;
      link.close(createUnreachableError(error.message, error));
      this.wake();
    };
    link.request('connection:check', {}, onAnswer, undefined, checkTimeoutMs);
  }

  #startAttempt(): object {
    this.#backoff.stop();
    this.#refresh?.stop();
    clearTimeout(this.#checkTimer);
    this.#attempt = {};
    return this.#attempt;
  }

  async #run(attempt: object): Promise<void> {
    try {
      const token = this.#earlyToken ?? (await this.#fetchToken());
      if (attempt !== this.#attempt) return;
      this.#earlyToken = undefined;
      const { transports } = this.#options;
      // If the latest link was a WebSocket, the next one is opened as a WebSocket. If that fails, long polling is next: a
      // network that has no WebSockets may be a new one.
      const options = {
        ...{ serviceUrl: this.#serviceUrl, token, rememberUpgrade: this.#wasConnected },
        isFirst: this.#connectedAt === 0,
        ...(transports && { transports }),
      };
      this.#currentLink = this.#openLink(options, this.limits, {
        onConnect: () => this.#handleConnect(token),
        onSlow: this.#events.onError,
        onDisconnect: (error) => this.#handleDisconnect(error, token),
        onEvent: (name, payload) => this.#handleEvent(name, payload),
        onFrame: this.#events.onFrame,
      });
    } catch (error) {
      if (attempt !== this.#attempt) return;
      if (!(error instanceof ChatClientError))
        // socket.io-client throws if an option is wrong, for example if a transport is unknown.
        this.#handleDisconnect(new ChatClientError('BAD_REQUEST', (error as Error).message, { cause: error }));
      else if (error.code === 'WRONG_USER') this.#handleDisconnect(error);
      else this.#scheduleReconnect(error);
    }
  }

  #handleConnect(token: string): void {
    this.link = this.#currentLink!;
    this.#refresh = new TokenRefresh(this.link, {
      fetchToken: () => this.#fetchToken(),
      onRefreshed: (fresh) => {
        const before = JSON.stringify(this.claims);
        this.claims = decodeClaims(fresh);
        if (!this.claims || JSON.stringify(this.claims) !== before) this.#events.onClaimsChanged();
      },
      onFailed: (error) => {
        if (error.code !== 'WRONG_USER') return this.#events.onError(error);
        this.link!.close(error);
      },
    });
    this.#connectedAt = performance.now();
    this.#rejectedTokens = 0;
    this.claims = decodeClaims(token);
    this.#events.onConnect();
    this.#setState('connected');
  }

  #handleDisconnect(error: ChatClientError, token?: string): void {
    const wasConnected = this.link !== undefined;
    this.#wasConnected = wasConnected;
    this.link = this.#currentLink = undefined;
    this.#isBusy = false;
    const attempt = this.#startAttempt();
    if (this.state === 'closed') return;
    if (wasConnected) {
      if (performance.now() - this.#connectedAt >= stableLinkMs) this.#backoff.reset();
      this.#events.onDisconnect();
      // A listener may have called connect() or close().
      if (attempt !== this.#attempt) return;
    }
    const { code, retryAfterMs } = error;
    if (code === 'UNAUTHENTICATED' && retryAfterMs !== undefined) {
      // The token is not valid yet, for example because the clock of its signer is fast.
      if (retryAfterMs <= maxEarlyWaitMs) this.#earlyToken = token;
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
    if (code === 'UNAUTHENTICATED' || code === 'TOKEN_EXPIRED') return ++this.#rejectedTokens >= maxRejectedTokens;
    return !isRetryable && code !== 'UNREACHABLE' && code !== 'WRONG_SERVER';
  }

  #scheduleReconnect(error: ChatClientError): void {
    this.#isBusy = false;
    this.#backoff.wait(
      () => this.connect(),
      Math.max(
        this.#backoff.fail(),
        Math.min(error.retryAfterMs ?? 0, maxEarlyWaitMs),
        this.#reconnectNotBefore - performance.now(),
      ),
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
    const { in_ms, reconnect_after_ms } = (payload ?? {}) as { in_ms: number; reconnect_after_ms: number };
    if (name === 'token:expiring') this.#refresh?.schedule(in_ms);
    else if (name === 'server:draining') this.#reconnectNotBefore = performance.now() + reconnect_after_ms;
    else this.#events.onEvent(name, payload);
  }

  async #fetchToken(): Promise<string> {
    const token = await fetchToken(this.#options.token, this.limits.tokenMs);
    const user = this.#options.user?.toLowerCase();
    const other = decodeClaims(token)?.user;
    // Without this, the client would store one user's rooms for the other user.
    if (user && other && other !== user) throw new ChatClientError('WRONG_USER', `A token of ${other}, not of ${user}`);
    return token;
  }
}
