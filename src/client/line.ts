import { io, type ManagerOptions, type Socket } from 'socket.io-client';
import { ChatClientError } from './client-error.ts';
import { RequestPacer } from './pace.ts';
import type { Timeouts } from './timeouts.ts';
import type { Ack, RefusedAck, RequestName, RequestPayload } from './wire.ts';

export type AckCallback<N extends RequestName> = (error: ChatClientError | undefined, ack: Ack<N>) => void;

export interface LinkEvents {
  onConnect(): void;
  /** Once, and nothing after it. */
  onDisconnect(error: ChatClientError): void;
  onEvent(name: string, payload: never): void;
  onFrame(direction: 'in' | 'out', name: string, payload: unknown): void;
}

interface LinkOptions extends Pick<Partial<ManagerOptions>, 'transports'> {
  url: string;
  path: string;
  token: string;
}

/** Messages keep their order in the outbox, and a token is asked for anew: these wait by themselves. */
const selfPacedRequests: readonly RequestName[] = ['message:send', 'token:refresh'];

/** One connection, from its dialling to its end. A new one has nothing of the one before: no buffer, no answer. */
export class Link {
  readonly #socket: Socket;
  readonly #events: LinkEvents;
  readonly #answerTimeoutMs: number;
  /** Each with what was asked. */
  readonly #pendingRequests = new Map<(error: ChatClientError) => void, unknown>();
  readonly #pacer = new RequestPacer();
  readonly #connectTimer: ReturnType<typeof setTimeout>;
  #hasEnded = false;

  constructor({ url, token, ...options }: LinkOptions, { answerMs, connectMs }: Timeouts, events: LinkEvents) {
    this.#events = events;
    this.#answerTimeoutMs = answerMs;
    this.#socket = io(url, { ...options, auth: { token }, forceNew: true, reconnection: false });
    this.#connectTimer = setTimeout(
      () => this.#handleEnd(new ChatClientError('TIMEOUT', 'No connection in time')),
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
    this.#socket.on('disconnect', (reason, details) => this.#handleEnd(toDisconnectError(reason), isTooLarge(details)));
    this.#socket.onAny((name: string, payload) => {
      if (this.#hasEnded) return;
      events.onFrame('in', name, payload);
      events.onEvent(name, payload as never);
    });
  }

  /**
   * `answered` is called once: with the acknowledgement, the refusal, `TIMEOUT`, or `UNREACHABLE` when the line ends.
   * It is no promise, for what arrives right behind an acknowledgement must find it obeyed. What the service limits is
   * made again when there is time, unless it is not `isWanted` any more.
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
      const isOpen = this.#pendingRequests.delete(settle);
      if (isPaced) this.#pacer.next();
      return isOpen;
    };
    const settle = (error: ChatClientError | undefined, ack?: Ack<N>) => {
      if (release()) callback(error, ack as Ack<N>);
    };
    const send = () => {
      if (!isWanted()) return void release();
      timer = setTimeout(() => settle(new ChatClientError('TIMEOUT', `No answer to ${name}`)), this.#answerTimeoutMs);
      this.#events.onFrame('out', name, name === 'token:refresh' ? {} : payload);
      this.#socket.emit(name, payload, (answer: ({ ok: true } & Ack<N>) | RefusedAck) => {
        if (this.#hasEnded) return;
        this.#events.onFrame('in', name, answer);
        if (answer.ok) return settle(undefined, answer);
        if (!isPaced || answer.error.code !== 'RATE_LIMITED') return settle(ChatClientError.fromRefusal(answer.error));
        clearTimeout(timer);
        // Too late, and given up.
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

  #handleEnd(error: ChatClientError, wasTooLarge = false): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#pacer.stop();
    clearTimeout(this.#connectTimer);
    this.#socket.disconnect();
    this.#events.onDisconnect(error);
    const lossError = error.code === 'CLOSED' ? error : createUnreachableError('The connection is gone', error);
    const pending = [...this.#pendingRequests].sort(([, one], [, other]) => measureSize(other) - measureSize(one));
    // Sent again it would end the next line, too.
    if (wasTooLarge) pending.shift()?.[0](new ChatClientError('TOO_LARGE', 'This is larger than the service takes'));
    for (const [settle] of pending) settle(lossError);
  }
}

export const createUnreachableError = (message: string, cause?: unknown) =>
  new ChatClientError('UNREACHABLE', message, { cause });

const measureSize = (payload: unknown) => JSON.stringify(payload).length;

/** A frame over the service's limit ends the connection, by a close code of WebSocket or a status of polling. */
const isTooLarge = (details: unknown) => {
  const { context, description } = (details ?? {}) as { context?: { code?: number }; description?: unknown };
  return context?.code === 1009 || description === 413;
};

/** The service disconnects the socket itself where the token was revoked, and only there. */
function toDisconnectError(reason: string): ChatClientError {
  if (reason !== 'io server disconnect') return createUnreachableError(reason);
  return new ChatClientError('TOKEN_REVOKED', 'The token has been revoked');
}
