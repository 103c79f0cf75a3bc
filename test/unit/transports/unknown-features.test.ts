import { EventEmitter } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import { z } from 'zod';
import { createTokenExpiry } from '../../../src/auth/token-expiry.ts';
import type { ChatFrame } from '../../../src/core/contract/chat.ts';
import { defineFeature, implementWith } from '../../../src/core/feature.ts';
import { costs } from '../../../src/core/limits/request-costs.ts';
import { createRegistry } from '../../../src/core/registry.ts';
import type { AppContext } from '../../../src/features/app-context.ts';
import { features } from '../../../src/features/index.ts';
import { createChatBroadcaster } from '../../../src/transports/chat/broadcaster.ts';
import { ChatSession } from '../../../src/transports/chat/session.ts';
import type { LiveContext } from '../../../src/transports/live-context.ts';
import { type RoomsSocket, SocketSession } from '../../../src/transports/socketio/socket-session.ts';
import { unlimited } from '../../helpers/unlimited.ts';

const contract = defineFeature('counting', {
  description: 'Counts letters.',
  requests: {
    'letters:count': {
      payload: z.object({ text: z.string() }),
      ack: z.object({ n: z.int() }),
      refusals: [],
      cost: costs.read,
    },
    'letters:wait': { payload: z.object({}), ack: z.object({}), refusals: [], cost: costs.free },
    'letters:check': { payload: z.object({}), ack: z.object({}), refusals: [], cost: costs.free, isImmediate: true },
  },
  commands: {
    count_letters: {
      needs: 'token',
      frame: z.object({ type: z.literal('count_letters'), text: z.string() }),
      answers: ['HISTORY'],
      refusals: ['BAD_REQUEST'],
      cost: costs.read,
    },
  },
});

const counting = implementWith<AppContext>()(contract, {
  'letters:count': async ({ payload }) => ({ n: payload.text.length }),
  'letters:wait': () => new Promise(() => {}),
  'letters:check': async () => ({}),
  count_letters: ({ connection, frame, id }) =>
    connection.send({
      type: 'status',
      data: 'HISTORY',
      count: frame.text.length,
      has_more: false,
      rev: 0,
      cursor: '',
      id,
    }),
});

const identity = {
  actor: { user: '00000000-0000-0000-0000-00000000000a', entity: null, level: 0, mayCreateRooms: false },
  issuedAt: 0,
  expiresAt: null,
  jti: null,
};

function createLive(queuedRequests = { count: 0, bytes: 0 }, requestLimits: object = unlimited): LiveContext {
  const context = { requestLimits } as unknown as AppContext;
  return {
    context,
    registry: createRegistry([...features, counting], context),
    authenticator: { verify: async () => identity },
    tokenExpiry: createTokenExpiry({ isRevoked: () => false, onChange: () => () => {} }),
    connections: { awaitToken: () => () => {}, admit: async () => ({ release: () => {} }) },
    limits: {},
    authTimeoutMs: 60_000,
    metrics: { refused: () => {}, requested: () => {} },
    queuedRequests,
  } as unknown as LiveContext;
}

function openSocket(live: LiveContext) {
  const socket = new EventEmitter();
  let onAny = function (this: unknown, ..._request: unknown[]) {};
  const onAnySetter = (listener: typeof onAny) => {
    onAny = listener;
  };
  Object.assign(socket, { data: {}, conn: new EventEmitter(), onAny: onAnySetter });
  new SocketSession(socket as unknown as RoomsSocket, identity, live);
  return (name: string, payload: unknown, acknowledge: (ack: unknown) => void) =>
    onAny.call(socket, name, payload, acknowledge);
}

describe('a feature that the transports do not know', () => {
  it('gets its Socket.IO requests, and its acknowledgements are sent', async () => {
    const acks: unknown[] = [];
    openSocket(createLive())('letters:count', { text: 'four', other: 1 }, (ack) => acks.push(ack));
    await nextTurn();
    expect(acks).to.deep.equal([{ ok: true, n: 4, ignored: ['other'] }]);
  });

  it('has requests whose texts count as queued bytes', () => {
    const queued = { count: 0, bytes: 0 };
    openSocket(createLive(queued))('letters:count', { text: 'x'.repeat(50_000) }, () => {});
    expect(queued.bytes).to.be.within(50_000, 52_000);
  });

  it('gets its immediate requests at once: before those that wait, although too many wait, and without a rate limit', async () => {
    const answers: unknown[] = [];
    const isLimited = { consume: () => expect.fail('it is limited'), chargeRefusal: () => {} };
    const send = openSocket(createLive({ count: 0, bytes: 100 * 1_048_576 }, isLimited));
    send('letters:wait', {}, (ack) => answers.push(ack));
    send('letters:check', {}, (ack) => answers.push(ack));
    await nextTurn();
    expect(answers).to.have.length(2);
    expect(answers[0]).to.nested.include({ 'error.code': 'UNAVAILABLE' });
    expect(answers[1]).to.deep.equal({ ok: true });
    const busy = openSocket(createLive());
    busy('letters:wait', {}, (ack) => answers.push(ack));
    busy('letters:check', {}, (ack) => answers.push(ack));
    await nextTurn();
    expect(answers.slice(2)).to.deep.equal([{ ok: true }]);
  });

  it('gets its /chat commands, and its answers list the ignored keys', async () => {
    const frames: ChatFrame[] = [];
    const link = {
      send: (frame: string) => frames.push(JSON.parse(frame)) > 0,
      close: () => {},
      setReading: () => {},
      limitMessages: () => true,
      isSendBufferFull: false,
    };
    const session = new ChatSession(link as never, createLive(), createChatBroadcaster());
    session.onFrame(JSON.stringify({ type: 'token', content: 'a token' }));
    session.onFrame(JSON.stringify({ type: 'count_letters', text: 'four', other: 1, id: 2 }));
    session.onFrame(JSON.stringify({ type: 'count_letters', id: 3 }));
    await nextTurn();
    session.end();
    expect(frames.map(({ data }) => data)).to.deep.equal([...['START?', 'READY', 'HISTORY', 'ERROR']]);
    expect(frames[2])
      .to.include({ count: 4, id: 2 })
      .and.deep.include({ ignored: ['other'] });
  });
});
