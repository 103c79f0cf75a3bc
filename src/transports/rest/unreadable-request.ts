import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type ErrorCode, errors } from '../../protocol/errors.ts';

const json = (code: ErrorCode, detail: string) => {
  const { http, message } = errors[code];
  return JSON.stringify({ meta: { code: http, message, reason: code, detail }, content: null });
};

const headers = { 'Access-Control-Allow-Origin': '*', 'Content-Type': 'application/json; charset=utf-8' };

/** What is no HTTP request gets the same envelope as one that is refused; Express never sees it. */
export function answerUnreadable(http: Server): void {
  http.on('clientError', (error: Error & { code?: string }, socket: Socket) => {
    if (!socket.writable || socket.bytesWritten > 0) return void socket.destroy();
    const isLarge = error.code === 'HPE_HEADER_OVERFLOW';
    const body = isLarge
      ? json('TOO_LARGE', 'The headers are too large')
      : json('BAD_REQUEST', 'This is not a valid HTTP request');
    const lines = Object.entries({ ...headers, 'Content-Length': Buffer.byteLength(body), Connection: 'close' });
    const status = isLarge ? '413 Payload Too Large' : '400 Bad Request';
    socket.end(`HTTP/1.1 ${status}\r\n${lines.map((line) => `${line.join(': ')}\r\n`).join('')}\r\n${body}`);
  });
  http.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    response.writeHead(400, headers).end(json('BAD_REQUEST', 'The only expectation is 100-continue'));
  });
}
