import { type EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo, Socket as NetSocket } from 'node:net';
import { expect } from 'chai';
import { Server, type Socket } from 'socket.io';
import { io } from 'socket.io-client';
import { compactSocket } from '../../../src/patches/socketio-compact-socket.ts';
import { closeLater } from '../../helpers/cleanup.ts';

async function connected(transport: 'websocket' | 'polling') {
  const http = createServer().listen(0, '127.0.0.1');
  const server = new Server(http);
  closeLater(() => server.close());
  await once(http, 'listening');
  const connecting = once(server, 'connection');
  const client = io(`http://127.0.0.1:${(http.address() as AddressInfo).port}`, { transports: [transport] });
  closeLater(() => client.close());
  const [socket] = (await connecting) as [Socket];
  return { client, socket };
}

/** The private fields that this version of the libraries has, if `compactSocket` can replace them. */
function readFields(socket: Socket) {
  const { acks, _anyListeners, client, conn } = socket as unknown as {
    acks: unknown;
    _anyListeners: unknown[];
    client: { decoder: { _callbacks: { $decoded: unknown[] } } };
    conn: { cleanupFn: unknown[]; transport: EventEmitter & { socket: EventEmitter & { _socket: NetSocket } } };
  };
  const { transport } = conn;
  const lists = [_anyListeners, client.decoder._callbacks.$decoded, conn.cleanupFn];
  return { acks, lists, transport, webSocket: transport.socket };
}

describe('compactSocket', () => {
  for (const transport of ['websocket', 'polling'] as const) {
    it(`lets the socket receive, send and disconnect as before, over ${transport}`, async () => {
      const { client, socket } = await connected(transport);
      const any: unknown[] = [];
      socket.onAny((name) => any.push(name));
      socket.on('question', (text: string, answer: (text: string) => void) => answer(`${text}!`));
      compactSocket(socket);
      expect(await client.emitWithAck('question', 'ready')).to.equal('ready!');
      const receiving = new Promise((resolve) => client.once('news', resolve));
      socket.emit('news', 'some');
      expect(await receiving).to.equal('some');
      expect(any).to.deep.equal(['question']);
      const disconnecting = once(socket, 'disconnect');
      client.disconnect();
      expect(await disconnecting).to.include('client namespace disconnect');
    });
  }

  it('replaces fields and removes listeners that these versions of the libraries have', async () => {
    const { socket } = await connected('websocket');
    socket.onAny(() => {});
    const before = readFields(socket);
    const countListeners = () => [
      before.transport.listenerCount('headers'),
      before.webSocket.listeners('error').map(({ name }) => name),
    ];
    expect(countListeners()).to.deep.equal([1, ['onUpgradeError', 'bound onError']]);
    compactSocket(socket);
    const after = readFields(socket);
    expect(countListeners()).to.deep.equal([0, ['bound onError']]);
    expect(after.acks).to.not.equal(before.acks);
    for (const [n, list] of after.lists.entries()) {
      expect(list).to.not.equal(before.lists[n]);
      expect(list).to.deep.equal(before.lists[n]);
    }
    const { _socket: netSocket } = after.webSocket;
    expect(netSocket.remoteAddress).to.equal('127.0.0.1');
  });
});
