import { io, type ManagerOptions, type Socket } from 'socket.io-client';
import type { Timeouts } from './api.ts';
import { ChatClientError } from './errors.ts';
import { checkServer } from './server-check.ts';
import type { ServiceUrl } from './service-url.ts';
import { type Ack, namespace, type RefusedAck, type RequestName, type RequestPayload } from './wire.ts';

export type AckCallback<N extends RequestName> = (error: ChatClientError | undefined, ack: Ack<N>) => void;

export interface LinkEvents {
  onConnect(): void;
  /** The link has not connected yet, and this is probably why. It goes on trying. */
  onSlow(error: ChatClientError): void;
  /** Called exactly once. No other callback is called after it. */
  onDisconnect(error: ChatClientError): void;
  onEvent(name: string, payload: never): void;
  onFrame(direction: 'in' | 'out', name: string, payload: unknown): void;
}

export interface LinkOptions extends Pick<Partial<ManagerOptions>, 'transports' | 'rememberUpgrade'> {
  serviceUrl: ServiceUrl;
  token: string;
  /** Whether the URL may be wrong: no link has connected yet. Then the link looks what answers there. */
  isFirst: boolean;
}

/**
 * Requests that the link neither delays nor repeats after `RATE_LIMITED`. The callers of the first two repeat them: the
 * outbox must keep the order of the messages, and the token refresh must first get a new token. For a check of the
 * connection, every answer will do.
 */
const directRequests: readonly RequestName[] = ['message:send', 'token:refresh', 'connection:check'];

/** If the first link is not connected after this time, it looks what answers at the URL. */
const slowMs = 3_000;

/**
 * One Socket.IO connection from its opening to its end. Each reconnect creates a new link, so no buffered frame and no
 * late answer of the previous connection can interfere.
 */
export class Link {
  readonly #socket: Socket;
  readonly #events: LinkEvents;
  readonly #answerTimeoutMs: number;
  /** The payload of each pending request. The key is the function that ends the request with an error. */
  readonly #pendingRequests = new Map<(error: ChatClientError) => void, unknown>();
  readonly #pacer = new RequestPacer();
  readonly #connectTimer: ReturnType<typeof setTimeout>;
  #slowTimer: ReturnType<typeof setTimeout> | undefined;
  #hasEnded = false;

  constructor(
    { serviceUrl, token, isFirst, ...options }: LinkOptions,
    { answerMs, connectMs }: Timeouts,
    events: LinkEvents,
  ) {
    this.#events = events;
    this.#answerTimeoutMs = answerMs;
    this.#socket = io(serviceUrl.origin + namespace, {
      ...{ ...options, path: `${serviceUrl.mountPath}/socket.io/`, auth: { token } },
      ...{ forceNew: true, reconnection: false },
    });
    this.#connectTimer = setTimeout(
      () => this.#handleEnd(new ChatClientError('TIMEOUT', `No connection within ${connectMs} ms`)),
      connectMs,
    );
    if (isFirst)
      this.#slowTimer = setTimeout(async () => {
        const error = await checkServer(serviceUrl);
        if (error && !this.#hasEnded && !this.#socket.connected) events.onSlow(error);
      }, slowMs);
    this.#socket.on('connect', () => {
      this.#stopTimers();
      events.onConnect();
    });
    this.#socket.on('connect_error', async (error: Error & { data?: RefusedAck['error'] }) => {
      this.#stopTimers();
      if (error.data?.code) return this.#handleEnd(ChatClientError.fromRefusal(error.data));
      const found = isFirst ? await checkServer(serviceUrl) : undefined;
      const isWrong = found?.code === 'WRONG_SERVER';
      this.#handleEnd(isWrong ? found : createUnreachableError(error.message, error));
    });
    this.#socket.on('disconnect', (reason, details) =>
      this.#handleEnd(toDisconnectError(reason), isFrameTooLarge(details)),
    );
    this.#socket.onAny((name: string, payload) => {
      if (this.#hasEnded) return;
      events.onFrame('in', name, payload);
      events.onEvent(name, payload as never);
    });
  }

  /**
   * Sends a request. Calls `callback` once: with the acknowledgement, with the refusal, with `TIMEOUT`, or with the
   * error that ended the link. The result is no promise, because a promise would be handled only after the events that
   * arrive together with the acknowledgement. If the service answers `RATE_LIMITED`, the request is sent again later,
   * unless `isWanted` returns false by then. In that case the request is dropped, and `callback` is never called.
   */
  request<N extends RequestName>(
    name: N,
    payload: RequestPayload<N>,
    callback: AckCallback<N>,
    isWanted: () => boolean = () => true,
    timeoutMs = this.#answerTimeoutMs,
  ): void {
    const isPaced = !directRequests.includes(name);
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isRetry = false;
    const release = () => {
      clearTimeout(timer);
      const wasPending = this.#pendingRequests.delete(settle);
      if (isPaced) this.#pacer.next();
      return wasPending;
    };
    const settle = (error: ChatClientError | undefined, ack?: Ack<N>) => {
      if (release()) callback(error, ack as Ack<N>);
    };
    const send = () => {
      if (!isWanted()) return void release();
      timer = setTimeout(
        () => settle(new ChatClientError('TIMEOUT', `No answer to ${name} within ${timeoutMs} ms`)),
        timeoutMs,
      );
      this.#events.onFrame('out', name, name === 'token:refresh' ? {} : payload);
      this.#socket.emit(name, payload, (answer: ({ ok: true } & Ack<N>) | RefusedAck) => {
        if (this.#hasEnded) return;
        this.#events.onFrame('in', name, answer);
        if (answer.ok) return settle(undefined, answer);
        if (!isPaced || answer.error.code !== 'RATE_LIMITED') return settle(ChatClientError.fromRefusal(answer.error));
        clearTimeout(timer);
        // Requests that have already timed out are not repeated.
        if (!this.#pendingRequests.has(settle)) return;
        this.#pacer.requeue(send, isRetry, answer.error.retry_after_ms);
        isRetry = true;
      });
    };
    this.#pendingRequests.set(settle, payload);
    if (isPaced) this.#pacer.run(send);
    else send();
  }

  close(error = new ChatClientError('CLOSED', 'The client is closed')): void {
    this.#handleEnd(error);
  }

  #stopTimers(): void {
    clearTimeout(this.#connectTimer);
    clearTimeout(this.#slowTimer);
  }

  #handleEnd(error: ChatClientError, isFrameTooLarge = false): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#pacer.stop();
    this.#stopTimers();
    this.#socket.disconnect();
    this.#events.onDisconnect(error);
    const lossError = error.code === 'CLOSED' ? error : createUnreachableError('The connection was lost', error);
    const pending = [...this.#pendingRequests].sort(([, a], [, b]) => measureSize(b) - measureSize(a));
    // The service does not report which request was too large. It is most likely the largest pending request. That
    // request must fail: if it were sent again, it would end the next link, too.
    if (isFrameTooLarge) pending.shift()?.[0](new ChatClientError('TOO_LARGE', 'The frame is too large'));
    for (const [settle] of pending) settle(lossError);
  }
}

export const createUnreachableError = (message: string, cause?: unknown) =>
  new ChatClientError('UNREACHABLE', message, { cause });

const measureSize = (payload: unknown) => JSON.stringify(payload).length;

/**
 * Returns whether the service ended the connection because a frame was too large: with close code 1009 on WebSocket, or
 * with status 413 on long polling.
 */
const isFrameTooLarge = (details: unknown) => {
  const { context, description } = (details ?? {}) as { context?: { code?: number }; description?: unknown };
  return context?.code === 1009 || description === 413;
};

/**
 * The service disconnects a socket only if the token was revoked. All other reasons mean that the connection was lost.
 */
function toDisconnectError(reason: string): ChatClientError {
  if (reason !== 'io server disconnect') return createUnreachableError(reason);
  return new ChatClientError('TOKEN_REVOKED', 'The token has been revoked');
}

/** Used if a `RATE_LIMITED` error has no `retry_after_ms`. */
const defaultRetryAfterMs = 1_000;

/**
 * Sends requests no faster than the service accepts them. After a `RATE_LIMITED` error, all further requests wait until
 * the refused request has been sent again. Then they are sent one after the other: if they were all sent at once, most
 * of them would be refused again.
 */
class RequestPacer {
  #queue: (() => void)[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * Calls `request` now, or after the requests in the queue. When the request has ended, `next` or `requeue` must be
   * called.
   */
  run(request: () => void): void {
    if (this.#timer || this.#queue.length > 0) this.#queue.push(request);
    else request();
  }

  requeue(request: () => void, isFirst: boolean, waitMs = defaultRetryAfterMs): void {
    if (isFirst) this.#queue.unshift(request);
    else this.#queue.push(request);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.next();
    }, waitMs);
  }

  next(): void {
    if (!this.#timer) this.#queue.shift()?.();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#queue = [];
  }
}
