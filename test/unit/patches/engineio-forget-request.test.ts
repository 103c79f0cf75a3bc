import { EventEmitter } from 'node:events';
import { expect } from 'chai';
import type { Socket } from 'socket.io';
import { forgetHandshake, forgetRequest, forgetResponse } from '../../../src/patches/engineio-forget-request.ts';

/** What is left of the request of a connection. */
function leftOf(headers: object, connection: object): object {
  const holder = { request: { headers: { cookie: 'large', ...headers }, connection, socket: 'large' } };
  forgetRequest(holder as unknown as Socket['conn']);
  return holder.request;
}

describe('the request of a handshake', () => {
  it('is forgotten, but for the header with the token and whether it was encrypted', () => {
    const token = { authorization: 'Bearer t' };
    expect(leftOf({}, {})).to.deep.equal({ headers: {}, connection: {} });
    expect(leftOf(token, {})).to.deep.equal({ headers: token, connection: { encrypted: undefined } });
    expect(leftOf({}, { encrypted: true })).to.deep.equal({
      headers: { authorization: undefined },
      connection: { encrypted: true },
    });
  });

  it('is one object for all that have nothing to keep, and may be forgotten twice', () => {
    expect(leftOf({}, {})).to.equal(leftOf({}, {}));
    const holder = { request: { headers: { authorization: 'Bearer t' }, connection: { encrypted: true } } };
    for (let n = 0; n < 2; n++) forgetRequest(holder as unknown as Socket['conn']);
    expect(holder.request).to.deep.equal({
      headers: { authorization: 'Bearer t' },
      connection: { encrypted: true },
    });
  });

  it('is gone from the socket too, with its token', () => {
    const handshake = { headers: { cookie: 'large' }, query: { a: 1 }, auth: { token: 't' }, url: '/x', secure: true };
    forgetHandshake({ handshake } as unknown as Socket);
    expect(handshake).to.deep.equal({ headers: {}, query: {}, auth: {}, url: '', time: '', secure: true });
  });
});

describe('what stands for the response of an upgrade', () => {
  it('hears no more of the end of the connection, and who came before it still does', () => {
    const socket = new EventEmitter();
    const heard: string[] = [];
    socket.on('close', () => heard.push('ours'));
    socket.once('close', () => heard.push('the response'));
    forgetResponse({ socket } as never);
    socket.emit('close');
    expect(heard).to.deep.equal(['ours']);
    forgetResponse({ socket: new EventEmitter() } as never);
  });
});
