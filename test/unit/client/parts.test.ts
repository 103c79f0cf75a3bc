import { expect } from 'chai';
import { computeBackoffMs, defaultTimeouts } from '../../../src/client/connection.ts';
import { ChatClientError } from '../../../src/client/errors.ts';
import { parseServiceUrl } from '../../../src/client/link.ts';
import { decodeClaims, fetchToken, mayAffectUser } from '../../../src/client/token.ts';
import { namespace } from '../../../src/client/wire.ts';
import { type ErrorCode, errors } from '../../../src/core/errors.ts';
import { ClientMsgId } from '../../../src/core/log/message.ts';
import * as protocol from '../../../src/protocol/socket-events.ts';
import { sign, somebody } from '../../helpers/people.ts';

describe('the client knows of the protocol', () => {
  it('the namespace', () => expect(namespace).to.equal(protocol.namespace));

  for (const [code, { retry }] of Object.entries(errors)) {
    it(`that ${code} is ${retry ? '' : 'not '}worth another try`, () => {
      expect(new ChatClientError(code as ErrorCode, '').isRetryable).to.equal(retry);
    });
  }
});

describe('the address of the client', () => {
  for (const [url, ...expected] of [
    ['https://chat.example', 'https://chat.example/rooms', '/socket.io/'],
    ['https://chat.example/', 'https://chat.example/rooms', '/socket.io/'],
    ['https://chat.example:8443/messaging', 'https://chat.example:8443/rooms', '/messaging/socket.io/'],
    ['https://chat.example/a/b//', 'https://chat.example/rooms', '/a/b/socket.io/'],
    ['http://[::1]:7777', 'http://[::1]:7777/rooms', '/socket.io/'],
    ['wss://chat.example', 'wss://chat.example/rooms', '/socket.io/'],
  ] as const) {
    it(`of ${url} is ${expected.join(' with ')}`, () => {
      expect(parseServiceUrl(url)).to.deep.equal({ url: expected[0], path: expected[1] });
    });
  }

  it('of anything else is refused', () => {
    for (const url of ['', 'chat.example', '/messaging', 'ftp://chat.example', 'https://chat.example?a=b']) {
      expect(() => parseServiceUrl(url), url).to.throw(TypeError, 'url must be http');
    }
  });
});

describe('the client_msg_id of the client', () => {
  /** As it is where the file is loaded with such a `crypto`. */
  async function idsWith(crypto: unknown, name: string): Promise<string[]> {
    const descriptor = Object.getOwnPropertyDescriptor(globalThis, 'crypto')!;
    Object.defineProperty(globalThis, 'crypto', { value: crypto, configurable: true });
    try {
      const { createMessageId } = await import(`../../../src/client/outbox.ts?${name}`);
      return Array.from({ length: 2_000 }, createMessageId);
    } finally {
      Object.defineProperty(globalThis, 'crypto', descriptor);
    }
  }

  for (const [name, crypto] of [
    ['is-whole', globalThis.crypto],
    ['lacks-randomUUID', { getRandomValues: () => {} }],
    ['is-missing', undefined],
  ] as const) {
    it(`is taken by the service, and another one each time, where crypto ${name}`, async () => {
      const ids = await idsWith(crypto, name);
      expect(new Set(ids)).to.have.property('size', ids.length);
      for (const id of ids) ClientMsgId.parse(id);
    });
  }
});

describe('the claims of the client', () => {
  it('are those of the token', () => {
    const { token, user, entity } = somebody({ level: 7, name: 'Zoë ✨ — ÿ' });
    expect(decodeClaims(token)).to.deep.equal({ user, entity, level: '7' });
    expect(decodeClaims(sign({ sub: user.toUpperCase() }))).to.deep.equal({ user, entity: undefined, level: '0' });
  });

  it('are unknown of what is no JWT', () => {
    for (const token of ['', 'x', 'a.b.c', 'opaque-token']) expect(decodeClaims(token), token).to.equal(undefined);
  });

  const [user, entity] = ['u', 'e'];
  for (const [entity_UUID, kind, isOurs] of [
    ['u', 'user', true],
    ['u', 'any', true],
    ['u', 'entity', false],
    ['e', 'entity', true],
    ['e', 'any', true],
    ['e', 'user', false],
    ['x', 'any', false],
  ] as const) {
    it(`are ${isOurs ? '' : 'not '}concerned by a rule of kind ${kind} for ${entity_UUID}`, () => {
      expect(mayAffectUser({ entity_UUID, kind }, { user, entity, level: '0' })).to.equal(isOurs);
      expect(mayAffectUser({ entity_UUID, kind }, undefined)).to.equal(true);
    });
  }
});

describe('the token function', () => {
  const failing: Record<string, () => unknown> = {
    'throws at once': () => {
      throw new Error('no session');
    },
    rejects: () => Promise.reject(new Error('no session')),
    'gives nothing': () => undefined,
    'gives an empty token': () => '',
    'never ends': () => new Promise(() => {}),
  };
  for (const [what, token] of Object.entries(failing)) {
    it(`that ${what} is NO_TOKEN`, async () => {
      const error = await fetchToken(token as () => string, 10).catch((thrown) => thrown);
      expect(error).to.be.instanceOf(ChatClientError).with.property('code', 'NO_TOKEN');
    });
  }
});

describe('the pauses of the client', () => {
  it('double up to a limit, and differ', () => {
    const timeouts = { ...defaultTimeouts, backoffMs: 100, maxBackoffMs: 1_000 };
    for (const [failures, whole] of [
      [0, 100],
      [1, 200],
      [3, 800],
      [4, 1_000],
      [5_000, 1_000],
    ] as const) {
      const pauses = Array.from({ length: 200 }, () => computeBackoffMs(failures, timeouts));
      expect(Math.min(...pauses)).to.be.within(whole / 2, whole * 0.6);
      expect(Math.max(...pauses)).to.be.within(whole * 0.9, whole);
    }
  });
});
