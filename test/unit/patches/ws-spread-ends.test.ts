import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import { expect } from 'chai';
import type { WebSocket } from 'ws';
import { BoundedWebSocketServer } from '../../../src/patches/ws-bounded-server.ts';
import { maxPerTick } from '../../../src/patches/ws-spread-ends.ts';

class Peer extends Duplex {
  override _read(): void {}

  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done();
  }
}

const request = {
  method: 'GET',
  headers: {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  },
} as unknown as IncomingMessage;

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
      server.handleUpgrade(request, peer, Buffer.alloc(0), (webSocket) => {
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
});
