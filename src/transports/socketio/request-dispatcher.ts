import type { Actor } from '../../core/authorization.ts';
import type { SocketConnection } from '../../core/connections.ts';
import type { RefusedAck, SocketRequest } from '../../core/contract/socketio.ts';
import { ChatError } from '../../core/errors.ts';
import type { RequestCall } from '../../core/feature.ts';
import { parseWithIgnored } from '../../core/parse.ts';
import type { RegisteredRequest, Registry } from '../../core/registry.ts';
import { CommandQueue } from '../command-queue.ts';
import type { LiveContext } from '../live-context.ts';
import { toErrorAck } from './error-ack.ts';

interface RequestingSession extends SocketConnection {
  readonly hasEnded: boolean;
}

type Acknowledge = (answer: { ok: true; ignored?: readonly string[] } | RefusedAck) => void;

/** Handles the requests of one socket in the order in which they arrive, except for immediate ones, and acknowledges each. */
export class RequestDispatcher {
  readonly #session: RequestingSession;
  readonly #live: LiveContext;
  readonly #queue: CommandQueue;

  constructor(session: RequestingSession, live: LiveContext) {
    this.#session = session;
    this.#live = live;
    this.#queue = new CommandQueue(live.queuedRequests);
  }

  onRequest(name: string, args: unknown[]): void {
    const last = args.at(-1);
    const acknowledge: Acknowledge = typeof last === 'function' ? (last as Acknowledge) : () => {};
    const { registry } = this.#live;
    const isImmediate = registry.requests.get(name)?.entry.isImmediate;
    if (!isImmediate && (this.#queue.isFull || this.#queue.isNodeFull))
      return this.#acknowledgeError(acknowledge, this.#findOverload());
    const payload = args[0] === last && typeof last === 'function' ? undefined : args[0];
    const request = new ParsedRequest(this.#session, registry, name, payload, acknowledge);
    const handle = () =>
      this.#handle(request).catch((error) => this.#acknowledgeError(acknowledge, ChatError.from(error)));
    void (isImmediate ? handle() : this.#queue.enqueue(request.weight, handle));
  }

  #findOverload(): ChatError {
    return this.#queue.isFull
      ? new ChatError('RATE_LIMITED', { message: connectionOverloadedMessage, retryAfterMs: 1_000 })
      : new ChatError('UNAVAILABLE', { message: nodeOverloadedMessage, retryAfterMs: 1_000 });
  }

  async #handle(request: ParsedRequest): Promise<void> {
    if (this.#session.hasEnded) return;
    const { registered, refusal } = request;
    this.#live.metrics.requested('socketio', registered?.name ?? 'unknown');
    if (refusal) throw refusal;
    const { entry, handle } = registered!;
    if (!entry.isImmediate) this.#live.context.requestLimits.consume(request.actor.user, entry.cost, request.payload);
    const answer = await handle(request);
    if (answer === undefined) return;
    if (!('later' in answer)) return request.acknowledge(answer);
    // The next request does not wait until this one is committed.
    (answer.later as Promise<object>).then(
      (settled) => request.acknowledge(settled),
      (error) => this.#acknowledgeError(request.send, ChatError.from(error)),
    );
  }

  #acknowledgeError(acknowledge: Acknowledge, error: ChatError): void {
    this.#live.metrics.refused('socketio', error.code);
    this.#live.context.requestLimits.chargeRefusal(this.#session.actor.user, error.code);
    if (error.code === 'INTERNAL') this.#live.logger.error({ err: error.cause }, 'request failed');
    acknowledge(toErrorAck(error));
  }
}

const connectionOverloadedMessage = 'This connection has too many queued requests, wait for their acknowledgements';
const nodeOverloadedMessage = 'The server has too many queued requests, retry later';

/** A request that has arrived. It is parsed at once, so that the queue does not hold the unknown parts of the payload. */
class ParsedRequest implements RequestCall<SocketRequest, unknown> {
  readonly context: unknown;
  readonly connection: SocketConnection;
  readonly registered: RegisteredRequest | undefined;
  readonly payload: unknown;
  readonly refusal: ChatError | undefined;
  readonly send: Acknowledge;
  /** The keys of the payload that its schema does not have. */
  readonly #ignored: readonly string[] = [];

  constructor(connection: SocketConnection, registry: Registry, name: string, payload: unknown, send: Acknowledge) {
    this.connection = connection;
    this.context = registry.context;
    this.send = send;
    this.registered = registry.requests.get(name);
    if (!this.registered) {
      const message = `there is no request ${JSON.stringify(name.slice(0, 64))}`;
      this.refusal = new ChatError('BAD_REQUEST', { message });
      return;
    }
    try {
      const { data, ignored } = parseWithIgnored(this.registered.entry.payload, payload);
      this.payload = data;
      this.#ignored = ignored;
    } catch (error) {
      this.refusal = ChatError.from(error);
    }
  }

  /** The actor of the token that is valid when the request is handled; it may be fresher than the request. */
  get actor(): Actor {
    return this.connection.actor;
  }

  acknowledge(ack: object): void {
    const ignored = this.#ignored;
    this.send(ignored.length === 0 ? { ok: true, ...ack } : { ok: true, ...ack, ignored });
  }

  /** The memory of the request in bytes: its texts, and the names of the ignored keys. Other values are small. */
  get weight(): number {
    let bytes = this.#ignored.join().length;
    for (const value of Object.values(this.payload ?? {})) {
      if (typeof value === 'string') bytes += Buffer.byteLength(value);
    }
    return bytes;
  }
}
