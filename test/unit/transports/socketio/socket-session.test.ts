import { EventEmitter } from 'node:events';
import { expect } from 'chai';
import { createTokenExpiry } from '../../../../src/auth/token-expiry.ts';
import { createRegistry } from '../../../../src/core/registry.ts';
import type { AppContext } from '../../../../src/features/app-context.ts';
import { features } from '../../../../src/features/index.ts';
import type { LiveContext } from '../../../../src/transports/live-context.ts';
import { type RoomsSocket, SocketSession } from '../../../../src/transports/socketio/socket-session.ts';
import { unlimited } from '../../../helpers/unlimited.ts';

const actor = { user: '00000000-0000-0000-0000-00000000000a', entity: null, level: 0, mayCreateRooms: false };

/** Creates a session without a socket. Its token may already be revoked. The result shows how the connection ended. */
function begin(isRevoked: boolean, { waiting = { count: 0, bytes: 0 }, sendRate = {} } = {}) {
  const done: string[] = [];
  const conn = Object.assign(new EventEmitter(), { transport: {}, close: () => void done.push('closed') });
  let hear = function (this: unknown, ..._request: unknown[]) {};
  const socket = {
    conn,
    data: {},
    disconnect: (close: boolean) => void done.push(`sent away ${close}`),
    onAny: (listener: typeof hear) => {
      hear = listener;
    },
    on: () => {},
  } as unknown as RoomsSocket;
  const tokenExpiry = createTokenExpiry({ isRevoked: () => isRevoked, onChange: () => () => {} });
  const metrics = { refused: () => {}, requested: () => {} };
  const context = { requestLimits: unlimited, settings: { maxContentBytes: 0, maxCustomBytes: 0 }, sendRate };
  const registry = createRegistry(features, context as unknown as AppContext);
  const live = { tokenExpiry, metrics, context, registry, queuedRequests: waiting } as unknown as LiveContext;
  new SocketSession(socket, { actor, issuedAt: 0, expiresAt: null, jti: null }, live);
  const ask = async (name: string, payload: unknown = {}) => {
    const answers: unknown[] = [];
    hear.call(socket, name, payload, (answer: unknown) => answers.push(answer));
    await new Promise((resolve) => setImmediate(resolve));
    return answers;
  };
  return { done, ask };
}

describe('waiting requests of a Socket.IO session', () => {
  const room_id = 1;
  const content = 'x'.repeat(60_000);

  /** Makes the database of the node unresponsive. */
  function hanging(waiting = { count: 0, bytes: 0 }) {
    const forever = () => new Promise(() => {});
    return { waiting, ask: begin(false, { waiting, sendRate: { consume: forever } }).ask };
  }

  it('limits waiting requests by their bytes', async () => {
    const { ask, waiting } = hanging();
    let answers: unknown[] = [];
    while (answers.length === 0) answers = await ask('message:send', { room_id, content });
    expect(answers).to.have.nested.property('[0].error.code', 'RATE_LIMITED');
    expect(waiting.count).to.be.within(17, 18);
    expect(waiting.bytes).to.be.within(1_048_576, 1_048_576 + 61_000);
  });

  it('keeps only the needed parts of waiting requests', async () => {
    const { ask, waiting } = hanging();
    expect(await ask('message:send', { room_id, content: 'x', padding: content })).to.deep.equal([]);
    expect(waiting.bytes).to.be.below(1_000);
  });

  it('rejects requests while all connections of the node together have too many', async () => {
    const { ask } = hanging({ count: 2_000, bytes: 64 * 1_048_576 });
    const answers = await ask('message:send', { room_id, content: 'x' });
    expect(answers).to.have.nested.property('[0].error.code', 'UNAVAILABLE');
    expect(answers).to.have.nested.property('[0].error.retry_after_ms', 1_000);
  });
});

describe('a Socket.IO session', () => {
  it('handles requests', async () => {
    const { done, ask } = begin(false);
    expect(await ask('dance')).to.have.length(1);
    expect(done).to.deep.equal([]);
  });

  it('disconnects at once and handles no requests if its token was revoked after the verification', async () => {
    const { done, ask } = begin(true);
    expect(await ask('dance')).to.deep.equal([]);
    expect(done).to.deep.equal(['sent away true', 'closed']);
  });
});
