import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { expect } from 'chai';
import { queueHandshakes } from '../../../../src/transports/socketio/queued-handshakes.ts';

/** Returns whether a request waits for its turn. */
function waits(query: string, isUpgrade: boolean): boolean {
  const socket = new Socket();
  const request = Object.assign(new IncomingMessage(socket), { url: `/socket.io/?EIO=4&${query}` });
  const calls: string[] = [];
  const middleware = queueHandshakes({
    add(queued, start) {
      expect(queued).to.equal(socket);
      calls.push('queued');
      start();
    },
  });
  middleware(request, isUpgrade ? { socket } : new ServerResponse(request), () => calls.push('next'));
  expect(calls.at(-1)).to.equal('next');
  return calls[0] === 'queued';
}

describe('queueHandshakes', () => {
  it('lets new sessions and upgrades wait for their turn, and no other request of a session', () => {
    expect(waits('transport=polling', false), 'a new session').to.equal(true);
    expect(waits('transport=websocket', true), 'a new session').to.equal(true);
    expect(waits('transport=websocket&sid=1', true), 'an upgrade').to.equal(true);
    expect(waits('transport=polling&sid=1', false), 'a poll').to.equal(false);
  });
});
