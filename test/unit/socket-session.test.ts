import { EventEmitter } from 'node:events';
import { expect } from 'chai';
import type { Live } from '../../src/transports/live.ts';
import { type RoomsSocket, SocketSession } from '../../src/transports/socketio/socket-session.ts';
import { tokenLifetimes } from '../../src/transports/token-lifetime.ts';
import { unlimited } from '../support/unlimited.ts';

const actor = { user: '00000000-0000-0000-0000-00000000000a', entity: null, level: 0, mayCreateRooms: false };

/** A session without a socket, whose token is revoked or not when it begins; what becomes of its connection. */
function begin(isRevoked: boolean): { done: string[]; ask: (name: string) => Promise<unknown[]> } {
  const done: string[] = [];
  const conn = Object.assign(new EventEmitter(), { transport: {}, close: () => void done.push('closed') });
  let hear = (..._request: unknown[]) => {};
  const socket = {
    conn,
    disconnect: (close: boolean) => void done.push(`sent away ${close}`),
    onAny: (listener: typeof hear) => {
      hear = listener;
    },
    on: () => {},
  } as unknown as RoomsSocket;
  const lifetimes = tokenLifetimes({ isRevoked: () => isRevoked, onChange: () => () => {} });
  const metrics = { refused: () => {}, requested: () => {} };
  const waiting = { count: 0, bytes: 0 };
  const live = { lifetimes, metrics, rooms: { requestLimits: unlimited }, waiting } as unknown as Live;
  new SocketSession(socket, { actor, issuedAt: 0, expiresAt: null, jti: null }, live);
  const ask = async (name: string) => {
    const answers: unknown[] = [];
    hear(name, {}, (answer: unknown) => answers.push(answer));
    await new Promise((resolve) => setImmediate(resolve));
    return answers;
  };
  return { done, ask };
}

describe('a Socket.IO session', () => {
  it('obeys requests', async () => {
    const { done, ask } = begin(false);
    expect(await ask('dance')).to.have.length(1);
    expect(done).to.deep.equal([]);
  });

  it('whose token was revoked after it was verified is sent away at once, and obeys none', async () => {
    const { done, ask } = begin(true);
    expect(await ask('dance')).to.deep.equal([]);
    expect(done).to.deep.equal(['sent away true', 'closed']);
  });
});
