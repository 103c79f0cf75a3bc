import { EventEmitter } from 'node:events';
import { expect } from 'chai';
import type { Socket } from 'socket.io';
import { forgetHandshake, forgetRequest, forgetResponse } from '../../../src/patches/engineio-forget-request.ts';

/** The remaining request of a connection. */
function remainingRequest(headers: object, connection: object): object {
  const holder = { request: { headers: { cookie: 'large', ...headers }, connection, socket: 'large' } };
  forgetRequest(holder as unknown as Socket['conn']);
  return holder.request;
}

describe('The request of a handshake', () => {
  it('releases the request of a handshake except the token header and the encrypted flag', () => {
    const token = { authorization: 'Bearer t' };
    expect(remainingRequest({}, {})).to.deep.equal({ headers: {}, connection: {} });
    expect(remainingRequest(token, {})).to.deep.equal({ headers: token, connection: { encrypted: undefined } });
    expect(remainingRequest({}, { encrypted: true })).to.deep.equal({
      headers: { authorization: undefined },
      connection: { encrypted: true },
    });
  });

  it('shares an object between requests without data to keep, and may run twice', () => {
    expect(remainingRequest({}, {})).to.equal(remainingRequest({}, {}));
    const holder = { request: { headers: { authorization: 'Bearer t' }, connection: { encrypted: true } } };
    for (let n = 0; n < 2; n++) forgetRequest(holder as unknown as Socket['conn']);
    expect(holder.request).to.deep.equal({
      headers: { authorization: 'Bearer t' },
      connection: { encrypted: true },
    });
  });

  it('removes the request and its token from the socket', () => {
    const handshake = { headers: { cookie: 'large' }, query: { a: 1 }, auth: { token: 't' }, url: '/x', secure: true };
    forgetHandshake({ handshake } as unknown as Socket);
    expect(handshake).to.deep.equal({ headers: {}, query: {}, auth: {}, url: '', time: '', secure: true });
  });
});

describe('The placeholder for the response of an upgrade', () => {
  it('removes its own close listener from the connection and keeps earlier listeners', () => {
    const socket = new EventEmitter();
    const received: string[] = [];
    socket.on('close', () => received.push('ours'));
    socket.once('close', () => received.push('the response'));
    forgetResponse({ socket } as never);
    socket.emit('close');
    expect(received).to.deep.equal(['ours']);
    forgetResponse({ socket: new EventEmitter() } as never);
  });
});
