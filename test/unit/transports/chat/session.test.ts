import { expect } from 'chai';
import { createTokenExpiry } from '../../../../src/auth/token-expiry.ts';
import { ChatError, type CloseReason } from '../../../../src/core/errors.ts';
import { createRegistry } from '../../../../src/core/registry.ts';
import type { AppContext } from '../../../../src/features/app-context.ts';
import { features } from '../../../../src/features/index.ts';
import { createChatBroadcaster } from '../../../../src/transports/chat/broadcaster.ts';
import { ChatSession } from '../../../../src/transports/chat/session.ts';
import type { LiveContext } from '../../../../src/transports/live-context.ts';
import { unlimited } from '../../../helpers/unlimited.ts';

const user = '00000000-0000-0000-0000-00000000000a';
const other = '00000000-0000-0000-0000-00000000000b';

/**
 * Verifies fake tokens: `good` and `other` are valid, `gone` is revoked right after its verification, `away` fails
 * because no keys are available, and any other token is invalid.
 */
async function verify(token: unknown) {
  if (token === 'away') throw new ChatError('UNAVAILABLE');
  if (token === 'late') throw new ChatError('TOKEN_EXPIRED');
  if (token !== 'good' && token !== 'other' && token !== 'gone') throw new ChatError('UNAUTHENTICATED');
  const actor = { user: token === 'other' ? other : user, entity: null, level: 0, mayCreateRooms: false };
  return { actor, issuedAt: 0, expiresAt: null, jti: token };
}

function withRegistry<L extends { context: unknown }>(live: L): LiveContext {
  return { ...live, registry: createRegistry(features, live.context as AppContext) } as unknown as LiveContext;
}

/** Creates a session without a socket, on a node without rooms. */
async function say(...frames: (object | string | null | number | boolean)[]): Promise<string[]> {
  const answers: string[] = [];
  const released: string[] = [];
  const waiting = { count: 0, bytes: 0 };
  const live = withRegistry({
    context: {
      requestLimits: unlimited,
      log: { snapshot: async () => undefined },
      feeds: { open: () => ({ join: notFound }), leave: () => {}, release: () => {} },
    } as unknown as AppContext,
    authenticator: { verify },
    tokenExpiry: createTokenExpiry({ isRevoked: ({ jti }) => jti === 'gone', onChange: () => () => {} }),
    connections: {
      awaitToken: () => () => released.push('unauthenticated'),
      admit: () => ({ release: () => released.push('user') }),
    },
    limits: {},
    authTimeoutMs: 60_000,
    metrics: { refused: () => {}, requested: () => {} },
    queuedRequests: waiting,
  });
  const connection = {
    send: (frame: string) => {
      const { type, data, reason, id } = JSON.parse(frame);
      answers.push([type === 'query' || type === 'status' ? data : type, reason, id].filter(Boolean).join(' '));
      return true;
    },
    close: (reason: CloseReason) => void answers.push(`closed: ${reason}`),
    setReading: () => {},
    limitMessages: () => true,
    isCongested: false,
    isSendBufferFull: false,
  };
  const session = new ChatSession(connection, live, createChatBroadcaster());
  for (const frame of frames) session.onFrame(typeof frame === 'string' ? frame : JSON.stringify(frame));
  // Commands are handled one after another, which takes several ticks of the event loop.
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  session.end();
  expect(waiting, 'nothing waits for its turn any more').to.deep.equal({ count: 0, bytes: 0 });
  expect(released, 'its place among the unauthenticated is given back').to.include('unauthenticated');
  return answers;
}

async function notFound(): Promise<never> {
  throw new ChatError('NOT_FOUND');
}

const token = (content: unknown, id?: unknown) => ({ type: 'token', content, id });

const table: [title: string, frames: Parameters<typeof say>, answers: string[]][] = [
  ['asks to start', [], ['START?']],
  ['is ready by a good token', [token('good', 'a')], ['START?', 'READY a']],
  ['asks again after a bad one', [token('bad')], ['START?', 'TOKEN? UNAUTHENTICATED']],
  ['says that a token has expired', [token('late')], ['START?', 'TOKEN? TOKEN_EXPIRED']],
  ['takes a good one after two bad frames', ['{', null, token('good')], ['START?', 'TOKEN?', 'TOKEN?', 'READY']],
  [
    'ends with the third bad one, and obeys nothing after it',
    [token('bad'), token(42), token({}), token('good')],
    ['START?', 'TOKEN? UNAUTHENTICATED', 'TOKEN? UNAUTHENTICATED', 'BADAUTH', 'closed: invalid_tokens'],
  ],
  [
    'does not count keys that cannot be had',
    [token('away'), token('away'), token('away'), token('good')],
    ['START?', ...Array(3).fill('ERROR UNAVAILABLE'), 'READY'],
  ],
  ['wants a token before anything else', [{ type: 'select_room', room_id: 1 }], ['START?', 'TOKEN?']],
  [
    'asks for a command where there is none',
    [token('good'), { type: 'dance' }, { type: 7 }, {}, null, [], 42, true, { type: '__proto__', id: 9 }],
    ['START?', 'READY', ...Array(7).fill('COMMAND?'), 'COMMAND? 9'],
  ],
  [
    'asks for a room before a message and before history',
    [token('good'), { type: 'message', content: 'x', id: 1 }, { type: 'get_past_messages' }],
    ['START?', 'READY', 'SELECTROOM? 1', 'SELECTROOM?'],
  ],
  [
    'says what is wrong with a room',
    [
      token('good'),
      { type: 'select_room' },
      { type: 'select_room', room_id: 'abc' },
      { type: 'select_room', room_id: 5 },
    ],
    ['START?', 'READY', 'ERROR BAD_REQUEST', 'ERROR BAD_REQUEST', 'NOTAUTHORIZED NOT_FOUND'],
  ],
  [
    'ends over what is not JSON',
    [token('good'), '{', token('good')],
    ['START?', 'READY', 'BADJSON', 'closed: not_json'],
  ],
  ['quits', [token('good'), { type: 'quit' }, { type: 'dance' }], ['START?', 'READY', 'closed: quit']],
  [
    'is never ready by a token that was revoked meanwhile',
    [token('gone'), { type: 'dance' }],
    ['START?', 'closed: token_ended'],
  ],
  [
    'ends by a fresh token that was',
    [token('good'), token('gone'), { type: 'dance' }],
    ['START?', 'READY', 'closed: token_ended'],
  ],
  ['takes a fresh token of the same user', [token('good'), token('good')], ['START?', 'READY', 'READY']],
  [
    'keeps the old token where a fresh one is bad or of another user',
    [token('good'), token('other'), token('bad'), { type: 'dance' }],
    ['START?', 'READY', 'TOKEN? UNAUTHENTICATED', 'TOKEN? UNAUTHENTICATED', 'COMMAND?'],
  ],
  ['ends over a frame too large for one without a token', ['x'.repeat(4_097)], ['START?', 'closed: frame_too_large']],
  ['ignores an id that is neither text nor number', [{ ...token('good'), id: {} }], ['START?', 'READY']],
];

describe('a /chat session', () => {
  for (const [title, frames, answers] of table) {
    it(title, async () => expect(await say(...frames)).to.deep.equal(answers));
  }

  it('keeps its user if it ends during a join, so that the pending authorization is no defect', async () => {
    const refused: string[] = [];
    let judge = () => {};
    const join = async (member: { actor: { user: string } }) => {
      await new Promise<void>((resolve) => {
        judge = resolve;
      });
      throw new ChatError(member.actor.user === user ? 'NOT_FOUND' : 'FORBIDDEN');
    };
    const live = withRegistry({
      context: { requestLimits: unlimited, feeds: { open: () => ({ join }), leave: () => {} } },
      authenticator: { verify },
      tokenExpiry: createTokenExpiry({ isRevoked: () => false, onChange: () => () => {} }),
      connections: { awaitToken: () => () => {}, admit: () => ({ release: () => {} }) },
      limits: {},
      authTimeoutMs: 60_000,
      metrics: { refused: (_transport: string, code: string) => refused.push(code), requested: () => {} },
      queuedRequests: { count: 0, bytes: 0 },
      logger: { error: () => {} },
    });
    const connection = {
      ...{ send: () => true, close: () => {}, setReading: () => {}, limitMessages: () => true },
      isCongested: false,
      isSendBufferFull: false,
    };
    const session = new ChatSession(connection, live, createChatBroadcaster());
    session.onFrame(JSON.stringify(token('good')));
    session.onFrame(JSON.stringify({ type: 'select_room', room_id: 5 }));
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    session.end();
    judge();
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(refused).to.deep.equal(['NOT_FOUND']);
  });

  it('keeps no text of a command while the queues of all connections are full', () => {
    const waiting = { count: 0, bytes: 0 };
    const done: string[] = [];
    const live = {
      authenticator: { verify: () => new Promise(() => {}) },
      connections: { awaitToken: () => () => {} },
      limits: { frameBytes: 65_536 },
      authTimeoutMs: 60_000,
      metrics: { refused: (_transport: string, code: string) => done.push(code), requested: () => {} },
      queuedRequests: waiting,
    } as unknown as LiveContext;
    const connection = {
      send: () => true,
      close: (reason: CloseReason) => void done.push(`closed: ${reason}`),
      setReading: (reading: boolean) => void done.push(`reading: ${reading}`),
      limitMessages: (bytes: number) => done.push(`at most ${bytes}`) > 0,
      isCongested: false,
      isSendBufferFull: false,
    };
    const session = new ChatSession(connection, live, createChatBroadcaster());
    session.onFrame(JSON.stringify(token('good')));
    expect(done, 'what follows the token may be larger').to.deep.equal(['at most 65536']);
    waiting.bytes += 64 * 1_048_576;
    const before = waiting.bytes;
    session.onFrame(JSON.stringify({ type: 'select_room', room_id: 5, padding: 'x'.repeat(4_000) }));
    expect(waiting.bytes - before, 'the text is not kept').to.be.below(1_000);
    session.end();
  });

  it('closes if libraries have written more than the client reads', () => {
    const done: string[] = [];
    const live = {
      connections: { awaitToken: () => () => {} },
      authTimeoutMs: 60_000,
      metrics: { closedSlowConsumer: () => done.push('counted') },
      queuedRequests: { count: 0, bytes: 0 },
    } as unknown as LiveContext;
    const connection = {
      ...{
        send: () => true,
        setReading: () => {},
        limitMessages: () => true,
        isCongested: false,
        isSendBufferFull: false,
      },
      close: (reason: CloseReason) => void done.push(reason),
    };
    const session = new ChatSession(connection, live, createChatBroadcaster());
    session.checkSendBuffer();
    expect(done).to.deep.equal([]);
    connection.isSendBufferFull = true;
    for (let n = 0; n < 2; n++) session.checkSendBuffer();
    expect(done).to.deep.equal(['counted', 'does_not_read']);
  });
});
