import type { Duplex } from 'node:stream';
import { closeWithLinger } from './lingering-close.ts';

/** What a client, or a balancer, is told that comes to a node that is about to end: another one has time now. */
export const drainingHeaders = { 'Retry-After': '2', Connection: 'close' };

/** Answers an upgrade that nobody serves, and closes the connection. */
export function rejectUpgrade(
  socket: Duplex,
  status: string,
  headers: Record<string, string> = {},
  body: object | undefined = undefined,
): void {
  const text = body ? JSON.stringify(body) : '';
  const type = body ? { 'Content-Type': 'application/json' } : {};
  const length = String(Buffer.byteLength(text));
  const lines = Object.entries({ Connection: 'close', 'Content-Length': length, ...type, ...headers });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  closeWithLinger(socket, `HTTP/1.1 ${status}\r\n${head}\r\n${text}`);
}
