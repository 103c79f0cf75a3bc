/**
 * Patches: engine.io@6.6.12
 *
 * Change: replaces `onDataRequest` and `doWrite` of the polling transport and wraps its `onRequest`.
 * Reason: engine.io keeps each chunk of a body as a separate string, replaces bytes that are not UTF-8, accepts any
 * number of packets in a body, does not track whether the client has read a response, and waits 30 s for a client to
 * fetch the packet that closes the connection.
 * Test: test/transports/socketio-polling.test.ts
 */

import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'socket.io';
import { closeTimeoutMs } from '../core/limits/transport-limits.ts';

type Connection = Socket['conn'];

/** The limits for the body of a long-polling request. 0 bytes means no limit. */
export interface PollingLimits {
  bodyBytes: number;
  packetBytes: number;
  packets: number;
}

/** The members of the polling transport of `engine.io@6.6.12` that are replaced or used here. */
interface PollingTransport {
  name: string;
  closeTimeout: number;
  req: IncomingMessage | null;
  res: ServerResponse | null;
  dataReq: IncomingMessage | null;
  dataRes: ServerResponse | null;
  headers(request: IncomingMessage, headers: Record<string, string | number>): Record<string, string | number>;
  onError(message: string): void;
  onData(payload: string): void;
  onRequest(request: IncomingMessage & { res: ServerResponse }): void;
  onDataRequest(request: IncomingMessage, response: ServerResponse): void;
  doWrite(payload: string, options: object, written: () => void): void;
}

const separator = 0x1e;
const bounds = new WeakMap<object, PollingBounds>();

/** Limits the polling transport of a new connection. Does nothing if the connection has another transport. */
export function boundPolling(connection: Connection, limits: PollingLimits): void {
  const transport = connection.transport as unknown as PollingTransport;
  if (transport.name !== 'polling') return;
  const pollingBounds = new PollingBounds(transport, limits, () => connection.readyState === 'open');
  bounds.set(transport, pollingBounds);
  transport.closeTimeout = closeTimeoutMs;
  const { onRequest } = transport;
  transport.onRequest = (request) => {
    if (request.method === 'GET' || request.method === 'POST') onRequest.call(transport, request);
    else pollingBounds.rejectMethod(request, request.res);
  };
  transport.onDataRequest = (request, response) => pollingBounds.readBody(request, response);
  transport.doWrite = (payload, _options, written) => pollingBounds.answer(payload, written);
  connection.on('close', () => pollingBounds.end());
}

export function limitPolling({ transport }: Connection, limits: PollingLimits): void {
  const pollingBounds = bounds.get(transport);
  if (pollingBounds) pollingBounds.limits = limits;
}

/**
 * Returns the number of bytes in responses that the client has not read yet. There may be several such responses, because
 * a client can poll again over another TCP connection while an earlier response is still unread.
 */
export const getUnreadAnswerBytes = (transport: object): number => bounds.get(transport)?.unreadBytes ?? 0;

class PollingBounds {
  limits: PollingLimits;
  readonly #transport: PollingTransport;
  readonly #isOpen: () => boolean;
  readonly #answers = new Map<ServerResponse, number>();

  constructor(transport: PollingTransport, limits: PollingLimits, isOpen: () => boolean) {
    this.#transport = transport;
    this.limits = limits;
    this.#isOpen = isOpen;
  }

  get unreadBytes(): number {
    let bytes = 0;
    for (const length of this.#answers.values()) bytes += length;
    return bytes;
  }

  readBody(request: IncomingMessage, response: ServerResponse): void {
    const transport = this.#transport;
    if (transport.dataReq) {
      transport.onError('data request overlap from client');
      return this.#reject(request, response, 400, 'Another request of this session is still being received');
    }
    if (request.headers['content-type'] === 'application/octet-stream') {
      transport.onError('invalid content');
      return this.#reject(request, response, 400, 'The body must be text');
    }
    const { limits } = this;
    const tooLarge = `The body may have at most ${limits.bodyBytes} bytes and ${limits.packets} packets, each of at most ${limits.packetBytes} bytes`;
    if (limits.bodyBytes > 0 && Number(request.headers['content-length']) > limits.bodyBytes) {
      return this.#reject(request, response, 413, tooLarge);
    }
    transport.dataReq = request;
    transport.dataRes = response;
    const body = new Body();
    const onData = (chunk: Buffer) => {
      if (limits.bodyBytes === 0 || body.length + chunk.length <= limits.bodyBytes) return body.append(chunk);
      cleanUp();
      this.#reject(request, response, 413, tooLarge);
    };
    const onClose = () => {
      cleanUp();
      transport.onError('data request connection closed prematurely');
    };
    const onEnd = () => {
      const bytes = body.bytes;
      if (!isWithinLimits(bytes, limits)) {
        cleanUp();
        return this.#reject(request, response, 413, tooLarge);
      }
      if (!isUtf8(bytes)) {
        cleanUp();
        this.#reject(request, response, 400, 'The body must be UTF-8');
        return transport.onError('the body is not UTF-8');
      }
      transport.onData(bytes.toString());
      const headers = transport.headers(request, { 'Content-Type': 'text/html', 'Content-Length': 2 });
      response.writeHead(200, headers).end('ok');
      cleanUp();
    };
    function cleanUp(): void {
      request.off('data', onData).off('end', onEnd).off('close', onClose);
      transport.dataReq = transport.dataRes = null;
    }
    request.on('data', onData).on('end', onEnd).on('close', onClose);
  }

  /**
   * Responds with 400. engine.io itself would respond with 500, which looks like a bug in the server. The session
   * continues.
   */
  rejectMethod(request: IncomingMessage, response: ServerResponse): void {
    this.#reject(request, response, 400, 'A long-polling session accepts only GET and POST');
  }

  /** Responds with an error in the format of engine.io, and discards the rest of the request body. */
  #reject(request: IncomingMessage, response: ServerResponse, status: number, message: string): void {
    const body = JSON.stringify({ code: 3, message });
    const length = Buffer.byteLength(body);
    const headers = { 'Content-Type': 'application/json', 'Content-Length': length, Connection: 'close' };
    response.writeHead(status, this.#transport.headers(request, headers)).end(body);
    request.resume();
    const { socket } = request;
    setTimeout(() => socket.destroy(), closeTimeoutMs).unref();
  }

  answer(payload: string, written: () => void): void {
    const { req: request, res: response } = this.#transport;
    const body = Buffer.from(payload);
    const headers: Record<string, string> = {
      'Content-Type': 'text/plain; charset=UTF-8',
      'Content-Length': String(body.length),
    };
    // The last response of a session also closes the TCP connection, because the client needs it no longer.
    if (!this.#isOpen()) headers.Connection = 'close';
    this.#answers.set(response!, body.length);
    response!.once('close', () => this.#answers.delete(response!));
    response!.writeHead(200, this.#transport.headers(request!, headers)).end(body);
    written();
  }

  /** Call this when the session has ended. Discards responses that the client does not read within `closeTimeoutMs`. */
  end(): void {
    if (this.#answers.size === 0) return;
    setTimeout(() => {
      for (const response of this.#answers.keys()) response.destroy();
    }, closeTimeoutMs).unref();
  }
}

function isWithinLimits(body: Buffer, { packetBytes, packets }: PollingLimits): boolean {
  let count = 1;
  let from = 0;
  for (let end = body.indexOf(separator); ; end = body.indexOf(separator, from)) {
    const length = (end === -1 ? body.length : end) - from;
    // The first byte of a packet is its type and does not count.
    if (packetBytes > 0 && length - 1 > packetBytes) return false;
    if (end === -1) return count <= packets;
    count += 1;
    from = end + 1;
  }
}

/**
 * The part of a body that has arrived so far. It is kept in a single buffer: if the chunks were kept, a client that sends
 * chunks of one byte could use about a hundred times as much memory.
 */
class Body {
  #buffer = Buffer.allocUnsafe(1_024);
  length = 0;

  append(chunk: Buffer): void {
    const length = this.length + chunk.length;
    if (length > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(length, this.#buffer.length * 2));
      this.#buffer.copy(larger, 0, 0, this.length);
      this.#buffer = larger;
    }
    chunk.copy(this.#buffer, this.length);
    this.length = length;
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }
}
