import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { Duplex } from 'node:stream';
import { expect } from 'chai';
import type { WebSocket } from 'ws';
import { BoundedWebSocketServer } from '../../../src/patches/ws-bounded-server.ts';
import { maxPerTick } from '../../../src/patches/ws-spread-ends.ts';
import { closeLater } from '../../helpers/cleanup.ts';
import { upgradeRequest } from '../../helpers/upgrade-request.ts';

class Peer extends Duplex {
  override _read(): void {}

  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done();
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('spreadEnd', () => {
  const peers: Peer[] = [];
  const webSockets: WebSocket[] = [];
  const closeCodes: number[] = [];

  beforeEach(async () => {
    peers.length = webSockets.length = closeCodes.length = 0;
    const server = new BoundedWebSocketServer({ noServer: true, maxPayload: 100 });
    for (let n = 0; n < 2.5 * maxPerTick; n++) {
      const peer = new Peer();
      server.handleUpgrade(upgradeRequest, peer, Buffer.alloc(0), (webSocket) => {
        webSockets.push(webSocket);
        webSocket.on('close', (code) => closeCodes.push(code)).on('error', () => {});
      });
      peers.push(peer);
    }
    await turn();
  });

  const countOpen = () => webSockets.filter(({ readyState, OPEN }) => readyState === OPEN).length;

  async function closeAll(): Promise<number> {
    let turns = 0;
    for (; closeCodes.length < webSockets.length && turns < 100; turns++) await turn();
    expect(closeCodes).to.deep.equal(webSockets.map(() => 1006));
    expect(peers.filter(({ destroyed }) => !destroyed)).to.deep.equal([]);
    return turns;
  }

  it('handles the ends of connections that end in the same moment over several turns', async () => {
    for (const peer of peers) peer.push(null);
    const open: number[] = [];
    for (let turns = 0; turns < 4; turns++) {
      await turn();
      open.push(countOpen());
    }
    expect(open).to.include.members([1.5 * maxPerTick, 0.5 * maxPerTick, 0]);
    await closeAll();
  });

  it('also spreads connections that are reset, or that the server terminates', async () => {
    for (const [n, peer] of peers.entries()) {
      if (n % 2 === 0) peer.destroy(new Error('read ECONNRESET'));
      else webSockets[n]!.terminate();
    }
    expect(await closeAll()).to.be.at.least(3);
  });

  it('closes a connection that the server terminates while its end waits', async () => {
    for (const peer of peers) peer.push(null);
    for (const webSocket of webSockets) webSocket.terminate();
    await closeAll();
  });

  it('ignores bytes that arrive between the termination of a connection and its close', async () => {
    const server = new BoundedWebSocketServer({ noServer: true, maxPayload: 100 });
    const http = createServer().listen(0, '127.0.0.1');
    await once(http, 'listening');
    closeLater(() => http.close());
    const client = connect((http.address() as AddressInfo).port, '127.0.0.1');
    client.on('error', () => {});
    const headers = Object.entries(upgradeRequest.headers).map(([name, value]) => `${name}: ${value}\r\n`);
    client.write(`GET / HTTP/1.1\r\nHost: x\r\n${headers.join('')}\r\n`);
    const [upgrade, socket, head] = await once(http, 'upgrade');
    const webSocket = await new Promise<WebSocket>((resolve) => server.handleUpgrade(upgrade, socket, head, resolve));
    const closed = once(webSocket, 'close');
    // After a timer, Node.js reads from sockets, and only then runs what `setImmediate` has deferred.
    setTimeout(() => {
      webSocket.terminate();
      client.write('these bytes arrive before the file descriptor is closed');
    });
    expect(await closed).to.deep.equal([1006, Buffer.alloc(0)]);
  });
});
