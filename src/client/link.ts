import { io, type ManagerOptions, type Socket } from 'socket.io-client';
import type { Timeouts } from './api.ts';
import { ChatClientError } from './errors.ts';
import { type Ack, namespace, type RefusedAck, type RequestName, type RequestPayload } from './wire.ts';

export type AckCallback<N extends RequestName> = (error: ChatClientError | undefined, ack: Ack<N>) => void;

export interface LinkEvents {
  onConnect(): void;
  /** Called once; no other callback follows. */
  onDisconnect(error: ChatClientError): void;
  onEvent(name: string, payload: never): void;
  onFrame(direction: 'in' | 'out', name: string, payload: unknown): void;
}

export interface LinkOptions extends Pick<Partial<ManagerOptions>, 'transports'> {
  url: string;
  path: string;
  token: string;
}

/**
 * Requests whose callers handle `RATE_LIMITED` themselves: the outbox, because it must keep the order of the messages,
 * and the token refresh, because it must first get a new token.
 */
const selfPacedRequests: readonly RequestName[] = ['message:send', 'token:refresh'];

/**
 * One Socket.IO connection from its opening to its end. Each reconnect creates a new link, so nothing of the previous
 * connection is left over: no buffered frame and no late answer.
 */
export class Link {
  readonly #socket: Socket;
  readonly #events: LinkEvents;
  readonly #answerTimeoutMs: number;
  /** For each pending request: the function that settles it with an error, and the payload. */
  readonly #pendingRequests = new Map<(error: ChatClientError) => void, unknown>();
  readonly #pacer = new RequestPacer();
  readonly #connectTimer: ReturnType<typeof setTimeout>;
  #hasEnded = false;

  constructor({ url, token, ...options }: LinkOptions, { answerMs, connectMs }: Timeouts, events: LinkEvents) {
    this.#events = events;
    this.#answerTimeoutMs = answerMs;
    this.#socket = io(url, { ...options, auth: { token }, forceNew: true, reconnection: false });
    this.#connectTimer = setTimeout(
      () => this.#handleEnd(new ChatClientError('TIMEOUT', `No connection within ${connectMs} ms`)),
      connectMs,
    );
    this.#socket.on('connect', () => {
      clearTimeout(this.#connectTimer);
      events.onConnect();
    });
    this.#socket.on('connect_error', (error: Error & { data?: RefusedAck['error'] }) =>
      this.#handleEnd(
        error.data?.code ? ChatClientError.fromRefusal(error.data) : createUnreachableError(error.message, error),
      ),
    );
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
   * Calls `callback` once: with the acknowledgement, the refusal, `TIMEOUT`, or the error that ended the link. This is
   * a callback and not a promise, so that the acknowledgement is processed before any event that arrives right behind
   * it. If the service answers `RATE_LIMITED`, the request is sent again later. If `isWanted` returns false by then,
   * the request is dropped and `callback` is never called.
   */
  request<N extends RequestName>(
    name: N,
    payload: RequestPayload<N>,
    callback: AckCallback<N>,
    isWanted: () => boolean = () => true,
  ): void {
    const isPaced = !selfPacedRequests.includes(name);
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
        () => settle(new ChatClientError('TIMEOUT', `No answer to ${name} within ${this.#answerTimeoutMs} ms`)),
        this.#answerTimeoutMs,
      );
      this.#events.onFrame('out', name, name === 'token:refresh' ? {} : payload);
      this.#socket.emit(name, payload, (answer: ({ ok: true } & Ack<N>) | RefusedAck) => {
        if (this.#hasEnded) return;
        this.#events.onFrame('in', name, answer);
        if (answer.ok) return settle(undefined, answer);
        if (!isPaced || answer.error.code !== 'RATE_LIMITED') return settle(ChatClientError.fromRefusal(answer.error));
        clearTimeout(timer);
        // The request has already timed out.
        if (!this.#pendingRequests.has(settle)) return;
        this.#pacer.requeue(send, isRetry, answer.error.retry_after_ms);
        isRetry = true;
      });
    };
    this.#pendingRequests.set(settle, payload);
    if (isPaced) this.#pacer.run(send);
    else send();
  }

  close(): void {
    this.#handleEnd(new ChatClientError('CLOSED', 'The client is closed'));
  }

  #handleEnd(error: ChatClientError, isFrameTooLarge = false): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#pacer.stop();
    clearTimeout(this.#connectTimer);
    this.#socket.disconnect();
    this.#events.onDisconnect(error);
    const lossError = error.code === 'CLOSED' ? error : createUnreachableError('The connection was lost', error);
    const pending = [...this.#pendingRequests].sort(([, a], [, b]) => measureSize(b) - measureSize(a));
    // The largest pending request is most likely the one that was too large. It must fail: if it were sent again, it
    // would end the next link, too.
    if (isFrameTooLarge) pending.shift()?.[0](new ChatClientError('TOO_LARGE', 'The frame exceeds the service limit'));
    for (const [settle] of pending) settle(lossError);
  }
}

/**
 * Returns the URL and the path that socket.io-client needs. A path in the given URL is where the service is mounted, so
 * it goes before `/socket.io/`. The URL is parsed by hand, because React Native's `URL` has no `pathname`.
 */
export function parseServiceUrl(url: string): { url: string; path: string } {
  const [, origin, mountPath] = /^((?:https?|wss?):\/\/[^/?#]+)([^?#]*)$/i.exec(url) ?? [];
  if (!origin) throw new TypeError(`url must be http(s)://host/path without a query: ${url}`);
  return { url: origin + namespace, path: `${mountPath!.replace(/\/+$/, '')}/socket.io/` };
}

const createUnreachableError = (message: string, cause?: unknown) =>
  new ChatClientError('UNREACHABLE', message, { cause });

const measureSize = (payload: unknown) => JSON.stringify(payload).length;

/**
 * Whether the service ended the connection because a frame exceeded its limit: with close code 1009 on WebSocket, or
 * with status 413 on polling.
 */
const isFrameTooLarge = (details: unknown) => {
  const { context, description } = (details ?? {}) as { context?: { code?: number }; description?: unknown };
  return context?.code === 1009 || description === 413;
};

/**
 * The service itself disconnects a socket only if the token has been revoked. Every other reason is a lost connection.
 */
function toDisconnectError(reason: string): ChatClientError {
  if (reason !== 'io server disconnect') return createUnreachableError(reason);
  return new ChatClientError('TOKEN_REVOKED', 'The token has been revoked');
}

/** Used if a `RATE_LIMITED` error has no `retry_after_ms`. */
const defaultRetryAfterMs = 1_000;

/**
 * Sends requests no faster than the service accepts them. After a `RATE_LIMITED` error, the other requests wait behind
 * the refused one. Then they are sent one by one: if they were sent all at once, they would be refused again.
 */
class RequestPacer {
  #queue: (() => void)[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * Sends the request now, or after the requests in the queue. When the request ends, it must call `next` or `requeue`.
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
