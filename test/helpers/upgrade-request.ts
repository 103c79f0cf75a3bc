import type { IncomingMessage } from 'node:http';

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
