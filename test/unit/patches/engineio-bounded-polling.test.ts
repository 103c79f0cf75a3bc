import { EventEmitter } from 'node:events';
import { expect } from 'chai';
import type { Socket } from 'socket.io';
import { boundPolling, getUnreadAnswerBytes } from '../../../src/patches/engineio-bounded-polling.ts';

/** A response that its client reads when the test says so. */
class Response extends EventEmitter {
  headers: Record<string, string> = {};
  body = '';
  isDestroyed = false;

  writeHead(_status: number, headers: Record<string, string>): this {
    this.headers = headers;
    return this;
  }

  end(body: Buffer): void {
    this.body = body.toString();
  }

  destroy(): void {
    this.isDestroyed = true;
  }
}

describe('long polling', () => {
  function stage() {
    const transport = {
      name: 'polling',
      closeTimeout: 30_000,
      req: {},
      res: new Response(),
      headers: (_request: unknown, headers: object) => headers,
      doWrite: (_payload: string, _options: object, _written: () => void) => {},
    };
    const connection = Object.assign(new EventEmitter(), { transport, readyState: 'open' });
    const limits = { bodyBytes: 100, packetBytes: 100, packets: 10 };
    boundPolling(connection as unknown as Socket['conn'], limits);
    function answer(text: string): Response {
      transport.res = new Response();
      transport.doWrite(text, {}, () => {});
      return transport.res;
    }
    return { transport, connection, answer };
  }

  it('counts the bytes of a polling response until its client has read it', () => {
    const { transport, answer } = stage();
    const [first, second] = [answer('4ñ'), answer('4xyz')];
    expect(first.body).to.equal('4ñ');
    expect(first.headers).to.include({ 'Content-Length': '3' });
    expect(getUnreadAnswerBytes(transport)).to.equal(3 + 4);
    first.emit('close');
    expect(getUnreadAnswerBytes(transport)).to.equal(4);
    second.emit('close');
    expect(getUnreadAnswerBytes(transport)).to.equal(0);
  });

  it('closes a polling connection with its last response, and waits a second for the client to fetch it', () => {
    const { transport, connection, answer } = stage();
    expect(answer('4x').headers).not.to.have.property('Connection');
    connection.readyState = 'closing';
    expect(answer('1').headers).to.include({ Connection: 'close' });
    expect(transport.closeTimeout).to.equal(1_000);
  });

  it('drops unread polling responses a second after the end', async () => {
    const { connection, answer } = stage();
    const [taken, stuck] = [answer('4x'), answer('4y')];
    taken.emit('close');
    const gone = new Promise<void>((resolve) => {
      stuck.destroy = resolve;
    });
    connection.emit('close');
    await gone;
    expect(taken.isDestroyed).to.equal(false);
  });
});
