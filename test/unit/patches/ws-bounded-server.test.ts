import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import { expect } from 'chai';
import type { WebSocket } from 'ws';
import {
  BoundedWebSocketServer,
  limitMessages,
  maxControlFramesPerSecond,
} from '../../../src/patches/ws-bounded-server.ts';
import { frame, opcodes } from '../../helpers/raw-web-socket.ts';

/** A TCP connection whose pieces arrive as the test gives them, and whose peer reads nothing unless it is said to. */
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

const request = {
  method: 'GET',
  headers: {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  },
} as unknown as IncomingMessage;

async function connected(maxPayload: number, peer = new Peer()): Promise<{ peer: Peer; webSocket: WebSocket }> {
  const server = new BoundedWebSocketServer({ noServer: true, maxPayload });
  const webSocket = await new Promise<WebSocket>((resolve) =>
    server.handleUpgrade(request, peer, Buffer.alloc(0), resolve),
  );
  webSocket.on('error', () => {});
  return { peer, webSocket };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

async function inPieces(peer: Peer, bytes: Buffer, size: number): Promise<void> {
  for (let at = 0; at < bytes.length && !peer.destroyed; at += size) {
    peer.push(bytes.subarray(at, at + size));
    await turn();
  }
}

describe('a bounded WebSocket', () => {
  it('takes a message that arrives in small packets of the network', async () => {
    const { peer, webSocket } = await connected(4_096);
    const received = once(webSocket, 'message');
    await inPieces(peer, frame(opcodes.text, 'x'.repeat(4_096)), 100);
    expect(String((await received)[0])).to.have.length(4_096);
  });

  it('ends when it would have to keep a frame in very many pieces', async () => {
    const { peer, webSocket } = await connected(4_096);
    const failed = once(webSocket, 'error');
    await inPieces(peer, frame(opcodes.text, 'x'.repeat(4_096)), 8);
    expect((await failed)[0]).to.have.property('code', 'WS_ERR_TOO_MANY_BUFFERED_PARTS');
  });

  it('takes larger messages from when it is told to, and says whether one is on its way that is too large', async () => {
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

  it('does not answer pings without end where nobody reads the answers', async () => {
    const { peer, webSocket } = await connected(10, new Peer({ reads: false }));
    const closed = once(webSocket, 'close');
    for (let n = 0; n < 10_000 && !peer.destroyed; n++) peer.push(frame(opcodes.ping, 'x'.repeat(125)));
    await closed;
    expect(peer.writableLength).to.be.below((maxControlFramesPerSecond + 5) * 131);
  });

  it('ends at more pings or pongs in a second than anybody needs', async () => {
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
