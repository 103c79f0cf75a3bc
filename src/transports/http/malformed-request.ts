import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { type ErrorCode, errors } from '../../core/errors.ts';
import { closeWithLinger, isClosing } from '../lingering-close.ts';

const formatError = (code: ErrorCode, detail: string) => {
  const { http, message } = errors[code];
  return JSON.stringify({ meta: { code: http, message, reason: code, detail }, content: null });
};

const buildHeaders = (body: string) => ({
  'Access-Control-Allow-Origin': '*',
  'Cache-Control': 'no-store',
  'Content-Type': 'application/json; charset=utf-8',
  'Content-Length': Buffer.byteLength(body),
});

/** For each error code of the parser, the error that the client receives. */
const details: Record<string, [code: ErrorCode, detail: string]> = {
  HPE_HEADER_OVERFLOW: ['TOO_LARGE', 'The request line, the headers or the trailers are too large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ['TOO_LARGE', 'The chunk extensions are too large'],
  HPE_INVALID_METHOD: ['BAD_REQUEST', 'The request does not start with a supported HTTP method'],
  HPE_INVALID_URL: ['BAD_REQUEST', 'The URL has characters that must be percent-encoded'],
  HPE_INVALID_HEADER_TOKEN: ['BAD_REQUEST', 'A header has characters that are not allowed there'],
  HPE_INVALID_CONTENT_LENGTH: ['BAD_REQUEST', 'Content-Length must be one number, without Transfer-Encoding'],
  HPE_UNEXPECTED_CONTENT_LENGTH: ['BAD_REQUEST', 'Content-Length must be one number, without Transfer-Encoding'],
  HPE_INVALID_TRANSFER_ENCODING: ['BAD_REQUEST', 'The last Transfer-Encoding must be chunked'],
  HPE_INVALID_CHUNK_SIZE: ['BAD_REQUEST', 'A chunk of the body is malformed'],
  HPE_PAUSED_H2_UPGRADE: ['BAD_REQUEST', 'HTTP/2 is not supported here, use HTTP/1.1'],
  HPE_INVALID_EOF_STATE: ['BAD_REQUEST', 'The request ended before it was complete'],
  ERR_HTTP_REQUEST_TIMEOUT: ['BAD_REQUEST', 'The request did not arrive in time'],
};

const toRefusal = ({ code = '' }: { code?: string }) =>
  details[code] ?? (['BAD_REQUEST', 'This is not a valid HTTP request'] as const);

/**
 * The response that is being sent on this socket. Node.js keeps it in a private property, for its own error handling.
 */
const getCurrentResponse = (socket: Duplex) => (socket as { _httpMessage?: ServerResponse | null })._httpMessage;

/**
 * Answers malformed and incomplete requests, which never reach Express, with the error envelope of REST. Without an
 * answer, a balancer would treat the node as dead.
 */
export function answerMalformedRequests(http: Server): void {
  const late = new Set<Duplex>();
  http.on('clientError', (error: Error & { code?: string }, socket) => {
    if (error.code !== 'ERR_HTTP_REQUEST_TIMEOUT') return rejectMalformed(error, socket);
    // If thousands of clients come at once, the requests of some have arrived, but are not read yet. They are read before
    // `setImmediate` runs.
    late.add(socket);
    setImmediate(() => {
      if (late.delete(socket)) rejectMalformed(error, socket);
    });
  });
  http.prependListener('request', ({ socket }: IncomingMessage) => late.delete(socket));
  http.prependListener('upgrade', (_request: IncomingMessage, socket: Duplex) => late.delete(socket));
  http.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    rejectRaw(socket, 'BAD_REQUEST', 'CONNECT is not supported: this server is not a proxy');
  });
  http.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    const body = formatError('BAD_REQUEST', 'Expect: must be 100-continue, the only supported expectation');
    response.writeHead(errors.BAD_REQUEST.http, buildHeaders(body)).end(body);
  });
}

/** Sockets whose earlier requests are still being answered. */
const pendingRejections = new WeakSet<Duplex>();

function rejectMalformed(error: Error & { code?: string }, socket: Duplex): void {
  // After the first error, the parser reports an error for every further chunk. Those need no answer.
  if (isClosing(socket) || pendingRejections.has(socket)) return;
  if (!socket.writable) return void socket.destroy();
  const response = getCurrentResponse(socket);
  const [code, detail] = toRefusal(error);
  if (!response) return rejectRaw(socket, code, detail);
  // The malformed request follows a complete one, so the answer to the complete request is sent first.
  if (response.req.complete) {
    pendingRejections.add(socket);
    response.once('finish', () => {
      pendingRejections.delete(socket);
      rejectMalformed(error, socket);
    });
    return;
  }
  if (response.writableEnded) return closeWithLinger(socket);
  if (response.headersSent) return void socket.destroy();
  // The client closed its side in the middle of the request. It may still read the answer, but in most cases it has
  // disconnected. The answer bypasses `response`, so that the metrics count the request as aborted.
  if (error.code === 'HPE_INVALID_EOF_STATE') return rejectRaw(socket, code, detail);
  const body = formatError(code, detail);
  response.writeHead(errors[code].http, { ...buildHeaders(body), Connection: 'close' }).end(body);
}

const statusLines: Partial<Record<ErrorCode, string>> = {
  BAD_REQUEST: '400 Bad Request',
  TOO_LARGE: '413 Payload Too Large',
};

function rejectRaw(socket: Duplex, code: ErrorCode, detail: string): void {
  const body = formatError(code, detail);
  const headers = Object.entries({ ...buildHeaders(body), Connection: 'close' });
  const head = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  closeWithLinger(socket, `HTTP/1.1 ${statusLines[code]}\r\n${head}\r\n${body}`);
}
