import { io, type ManagerOptions, type Socket } from 'socket.io-client';
import { ChatClientError } from './client-error.ts';
import { Pace } from './pace.ts';
import type { Timings } from './timings.ts';
import type { Ack, RefusedAck, RequestName, RequestPayload } from './wire.ts';

export type Answered<N extends RequestName> = (error: ChatClientError | undefined, ack: Ack<N>) => void;

export interface LineEvents {
  up(): void;
  /** Once, and nothing after it. */
  down(why: ChatClientError): void;
  heard(name: string, payload: never): void;
  frame(direction: 'in' | 'out', name: string, payload: unknown): void;
}

interface Dial extends Pick<Partial<ManagerOptions>, 'transports'> {
  url: string;
  path: string;
  token: string;
}

/** Messages keep their order in the outbox, and a token is asked for anew: these wait by themselves. */
const hasOwnPace: readonly RequestName[] = ['message:send', 'token:refresh'];

/** One connection, from its dialling to its end. A new one has nothing of the one before: no buffer, no answer. */
export class Line {
  readonly #socket: Socket;
  readonly #events: LineEvents;
  readonly #answerMs: number;
  /** Each with what was asked. */
  readonly #unanswered = new Map<(error: ChatClientError) => void, unknown>();
  readonly #pace = new Pace();
  readonly #tooLate: ReturnType<typeof setTimeout>;
  #isOver = false;

  constructor({ url, token, ...options }: Dial, { answerMs, connectMs }: Timings, events: LineEvents) {
    this.#events = events;
    this.#answerMs = answerMs;
    this.#socket = io(url, { ...options, auth: { token }, forceNew: true, reconnection: false });
    this.#tooLate = setTimeout(() => this.#end(new ChatClientError('TIMEOUT', 'No connection in time')), connectMs);
    this.#socket.on('connect', () => {
      clearTimeout(this.#tooLate);
      events.up();
    });
    this.#socket.on('connect_error', (error: Error & { data?: RefusedAck['error'] }) =>
      this.#end(error.data?.code ? ChatClientError.refused(error.data) : unreachable(error.message, error)),
    );
    this.#socket.on('disconnect', (reason, details) => this.#end(endOf(reason), isTooLarge(details)));
    this.#socket.onAny((name: string, payload) => {
      if (this.#isOver) return;
      events.frame('in', name, payload);
      events.heard(name, payload as never);
    });
  }

  /**
   * `answered` is called once: with the acknowledgement, the refusal, `TIMEOUT`, or `UNREACHABLE` when the line ends.
   * It is no promise, for what arrives right behind an acknowledgement must find it obeyed. What the service limits is
   * made again when there is time, unless it is not `isWanted` any more.
   */
  ask<N extends RequestName>(
    name: N,
    payload: RequestPayload<N>,
    answered: Answered<N>,
    isWanted: () => boolean = () => true,
  ): void {
    const isPaced = !hasOwnPace.includes(name);
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isAgain = false;
    const forget = () => {
      clearTimeout(timer);
      const isOpen = this.#unanswered.delete(settle);
      if (isPaced) this.#pace.next();
      return isOpen;
    };
    const settle = (error: ChatClientError | undefined, ack?: Ack<N>) => {
      if (forget()) answered(error, ack as Ack<N>);
    };
    const make = () => {
      if (!isWanted()) return void forget();
      timer = setTimeout(() => settle(new ChatClientError('TIMEOUT', `No answer to ${name}`)), this.#answerMs);
      this.#events.frame('out', name, name === 'token:refresh' ? {} : payload);
      this.#socket.emit(name, payload, (answer: ({ ok: true } & Ack<N>) | RefusedAck) => {
        if (this.#isOver) return;
        this.#events.frame('in', name, answer);
        if (answer.ok) return settle(undefined, answer);
        if (!isPaced || answer.error.code !== 'RATE_LIMITED') return settle(ChatClientError.refused(answer.error));
        clearTimeout(timer);
        // Too late, and given up.
        if (!this.#unanswered.has(settle)) return;
        this.#pace.refused(make, isAgain, answer.error.retry_after_ms);
        isAgain = true;
      });
    };
    this.#unanswered.set(settle, payload);
    if (isPaced) this.#pace.take(make);
    else make();
  }

  close(): void {
    this.#end(new ChatClientError('CLOSED', 'The client is closed'));
  }

  #end(why: ChatClientError, hasSentTooMuch = false): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#pace.stop();
    clearTimeout(this.#tooLate);
    this.#socket.disconnect();
    this.#events.down(why);
    const lost = why.code === 'CLOSED' ? why : unreachable('The connection is gone', why);
    const asked = [...this.#unanswered].sort(([, one], [, other]) => sizeOf(other) - sizeOf(one));
    // Sent again it would end the next line, too.
    if (hasSentTooMuch) asked.shift()?.[0](new ChatClientError('TOO_LARGE', 'This is larger than the service takes'));
    for (const [settle] of asked) settle(lost);
  }
}

export const unreachable = (message: string, cause?: unknown) => new ChatClientError('UNREACHABLE', message, { cause });

const sizeOf = (payload: unknown) => JSON.stringify(payload).length;

/** A frame over the service's limit ends the connection, by a close code of WebSocket or a status of polling. */
const isTooLarge = (details: unknown) => {
  const { context, description } = (details ?? {}) as { context?: { code?: number }; description?: unknown };
  return context?.code === 1009 || description === 413;
};

/** The service disconnects the socket itself where the token was revoked, and only there. */
function endOf(reason: string): ChatClientError {
  if (reason !== 'io server disconnect') return unreachable(reason);
  return new ChatClientError('TOKEN_REVOKED', 'The token has been revoked');
}
