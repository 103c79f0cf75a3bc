import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';

/** A request that `ws` accepts for an upgrade, without a server that has received it. */
export const upgradeRequest = {
  method: 'GET',
  headers: {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  },
} as unknown as IncomingMessage;

/** The bytes of an upgrade. `header` may also be one that `ws` refuses. */
export const toUpgrade = (path: string, header = 'Sec-WebSocket-Version: 13') => {
  const upgrade = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='];
  return `${[`GET ${path} HTTP/1.1`, 'Host: 127.0.0.1', ...upgrade, header].join('\r\n')}\r\n\r\n`;
};

/** Resolves when the connection is established. */
export async function connectTo(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  return socket;
}

/** Returns what the server sends until it has sent this text or closes the connection. */
export async function answerOn(socket: Socket, until?: string): Promise<string> {
  let answer = '';
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    answer += chunk;
    if (until !== undefined && answer.includes(until)) break;
  }
  return answer;
}
