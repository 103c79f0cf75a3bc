import { EventEmitter } from 'node:events';
import { expect } from 'chai';
import type { Socket } from 'socket.io';
import type { LiveContext } from '../../../../src/transports/live-context.ts';
import { authenticate } from '../../../../src/transports/socketio/authentication.ts';
import { unlimited } from '../../../helpers/unlimited.ts';

const actor = { user: '00000000-0000-0000-0000-00000000000a', entity: null, level: 0, mayCreateRooms: false };
const identity = { actor, issuedAt: 0, expiresAt: null, jti: null };

/** Authenticates a socket. Returns whether its admission is released after the tick in which Socket.IO connects it, or does not. */
async function isReleased({ connects }: { connects: boolean }): Promise<boolean> {
  let wasReleased = false;
  const release = () => {
    wasReleased = true;
  };
  const live = {
    authenticator: { verify: async () => identity },
    connections: { admit: async () => ({ release }) },
    context: { requestLimits: unlimited },
  } as unknown as LiveContext;
  const socket = { conn: new EventEmitter(), handshake: { auth: { token: 't' }, headers: {} }, connected: false };
  expect(await authenticate(socket as unknown as Socket, live)).to.include({ identity });
  expect(wasReleased).to.equal(false);
  process.nextTick(() => {
    socket.connected = connects;
  });
  await new Promise((resolve) => setImmediate(resolve));
  return wasReleased;
}

describe('The admission of a Socket.IO connection', () => {
  it('is released if the connection closes before its socket is in the namespace', async () => {
    expect(await isReleased({ connects: false })).to.equal(true);
  });

  it('remains until the socket disconnects', async () => {
    expect(await isReleased({ connects: true })).to.equal(false);
  });
});
