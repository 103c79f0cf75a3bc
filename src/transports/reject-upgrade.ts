import type { Duplex } from 'node:stream';
import { closeWithLinger } from './lingering-close.ts';

/**
 * Headers of the response to new connections while the node shuts down. The client or the balancer retries elsewhere.
 */
export const drainingHeaders = { 'Retry-After': '2', Connection: 'close' };

/** Answers an upgrade request with an HTTP error and closes the connection. */
export function rejectUpgrade(
  socket: Duplex,
  status: string,
  headers: Record<string, string> = {},
  body: object | undefined = undefined,
): void {
  const text = body ? JSON.stringify(body) : '';
  const type = body ? { 'Content-Type': 'application/json' } : {};
  const length = String(Buffer.byteLength(text));
  const allHeaders = Object.entries({ Connection: 'close', 'Content-Length': length, ...type, ...headers });
  const head = allHeaders.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  closeWithLinger(socket, `HTTP/1.1 ${status}\r\n${head}\r\n${text}`);
}
