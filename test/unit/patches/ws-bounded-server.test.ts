import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { expect } from 'chai';
import type { WebSocket } from 'ws';
import {
  BoundedWebSocketServer,
  limitMessages,
  maxControlFramesPerSecond,
} from '../../../src/patches/ws-bounded-server.ts';
import { frame, opcodes } from '../../helpers/raw-web-socket.ts';
import { upgradeRequest } from '../../helpers/upgrade-request.ts';

/** A TCP connection that receives the chunks of the test, and whose peer reads only if the test says so. */
class Peer extends Duplex {
  readonly written: Buffer[] = [];
  #reads: boolean;

  constructor({ reads = true } = {}) {
    super();
    this.#reads = reads;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push(chunk);
    if (this.#reads) done();
  }

  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }
}

async function connected(maxPayload: number, peer = new Peer()): Promise<{ peer: Peer; webSocket: WebSocket }> {
  const server = new BoundedWebSocketServer({ noServer: true, maxPayload });
  const webSocket = await new Promise<WebSocket>((resolve) =>
    server.handleUpgrade(upgradeRequest, peer, Buffer.alloc(0), resolve),
  );
  webSocket.on('error', () => {});
  return { peer, webSocket };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

async function pushInChunks(peer: Peer, bytes: Buffer, size: number): Promise<void> {
  for (let at = 0; at < bytes.length && !peer.destroyed; at += size) {
    peer.push(bytes.subarray(at, at + size));
    await turn();
  }
}

describe('A bounded WebSocket', () => {
  it('accepts a message that arrives in small network packets', async () => {
    const { peer, webSocket } = await connected(4_096);
    const received = once(webSocket, 'message');
    await pushInChunks(peer, frame(opcodes.text, 'x'.repeat(4_096)), 100);
    expect(String((await received)[0])).to.have.length(4_096);
  });

  it('closes the connection if it would buffer a frame in very many chunks', async () => {
    const { peer, webSocket } = await connected(4_096);
    const failed = once(webSocket, 'error');
    await pushInChunks(peer, frame(opcodes.text, 'x'.repeat(4_096)), 8);
    expect((await failed)[0]).to.have.property('code', 'WS_ERR_TOO_MANY_BUFFERED_PARTS');
  });

  it('accepts larger messages once its limit is raised, and reports a pending message above the limit', async () => {
    const { peer, webSocket } = await connected(10);
    expect(limitMessages(webSocket, 1_000)).to.equal(true);
    const received = once(webSocket, 'message');
    peer.push(frame(opcodes.text, 'x'.repeat(1_000)));
    expect(String((await received)[0])).to.have.length(1_000);
    peer.push(frame(opcodes.text, 'x', { length: 900 }));
    await turn();
    expect(limitMessages(webSocket, 10)).to.equal(false);
    expect(limitMessages(webSocket, 900)).to.equal(true);
  });

  it('stops answering pings if the peer does not read the pongs', async () => {
    const { peer, webSocket } = await connected(10, new Peer({ reads: false }));
    const closed = once(webSocket, 'close');
    for (let n = 0; n < 10_000 && !peer.destroyed; n++) peer.push(frame(opcodes.ping, 'x'.repeat(125)));
    await closed;
    expect(peer.writableLength).to.be.below((maxControlFramesPerSecond + 5) * 131);
  });

  it('closes the connection after too many pings or pongs in a second', async () => {
    const { peer, webSocket } = await connected(10);
    for (let n = 0; n < maxControlFramesPerSecond; n++) peer.push(frame(opcodes.pong));
    await turn();
    expect(webSocket.readyState).to.equal(webSocket.OPEN);
    peer.push(frame(opcodes.pong));
    await turn();
    expect(webSocket.readyState).to.equal(webSocket.CLOSING);
    webSocket.terminate();
  });
});
