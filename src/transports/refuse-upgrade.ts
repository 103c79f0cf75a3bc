import type { Duplex } from 'node:stream';

/** What a client, or a balancer, is told that comes to a node that is about to end: another one has time now. */
export const drainingHeaders = { 'Retry-After': '2', Connection: 'close' };

/** Answers an upgrade that nobody serves, and hangs up. */
export function refuseUpgrade(
  socket: Duplex,
  status: string,
  headers: Record<string, string> = {},
  body: object | undefined = undefined,
): void {
  const text = body ? JSON.stringify(body) : '';
  const type = body ? { 'Content-Type': 'application/json' } : {};
  const length = String(Buffer.byteLength(text));
  const lines = Object.entries({ Connection: 'close', 'Content-Length': length, ...type, ...headers });
  // The socket's own errors have no other listener.
  socket.on('error', () => socket.destroy());
  // Sockets of an HTTP server are half open: the client might never end its side.
  socket.once('finish', () => socket.destroy());
  socket.end(`HTTP/1.1 ${status}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${text}`);
}
