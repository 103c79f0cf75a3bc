import { expect } from 'chai';
import { computeBackoffMs } from '../../../src/client/backoff.ts';
import { ChatClientError } from '../../../src/client/errors.ts';
import { defaultTimeouts } from '../../../src/client/room-connection.ts';
import { parseServiceUrl } from '../../../src/client/service-url.ts';
import { decodeClaims, fetchToken, mayAffectUser } from '../../../src/client/token.ts';
import { namespace } from '../../../src/client/wire.ts';
import * as protocol from '../../../src/core/contract/socketio.ts';
import { type ErrorCode, errors } from '../../../src/core/errors.ts';
import { ClientMsgId } from '../../../src/features/messages/draft.ts';
import { closeLater } from '../../helpers/cleanup.ts';
import { createUser, sign } from '../../helpers/users.ts';

describe('the parts of the client that copy the protocol', () => {
  it('connects to the namespace of the protocol', () => expect(namespace).to.equal(protocol.namespace));

  for (const [code, { retry }] of Object.entries(errors)) {
    it(`${retry ? 'retries' : 'does not retry'} a request that failed with ${code}, as the table of errors says`, () => {
      expect(new ChatClientError(code as ErrorCode, '').isRetryable).to.equal(retry);
    });
  }
});

/** What is written to the console from now on, until the end of the test. */
function recordWarnings(): string[] {
  const warnings: string[] = [];
  const { warn } = console;
  console.warn = (text) => void warnings.push(text);
  closeLater(() => Object.assign(console, { warn }));
  return warnings;
}

describe('the service URL of the client', () => {
  for (const [url, origin, mountPath] of [
    ['https://chat.example', 'https://chat.example', ''],
    ['https://chat.example/', 'https://chat.example', ''],
    ['https://chat.example:8443/messaging', 'https://chat.example:8443', '/messaging'],
    ['https://chat.example/a/b//', 'https://chat.example', '/a/b'],
    ['http://[::1]:7777', 'http://[::1]:7777', ''],
    ['wss://chat.example', 'wss://chat.example', ''],
    ['https://chat.example/chat/', 'https://chat.example', '/chat'],
  ] as const) {
    it(`is at ${origin}${mountPath} for ${url}`, () => {
      const warnings = recordWarnings();
      expect(parseServiceUrl(url)).to.deep.equal({ origin, mountPath });
      expect(warnings).to.deep.equal([]);
    });
  }

  for (const [url, mountPath, added] of [
    ['https://chat.example/rooms', '', '/rooms'],
    ['wss://chat.example/chat', '', '/chat'],
    ['https://chat.example/messaging/rooms', '/messaging', '/rooms'],
    ['https://chat.example/a/chat/rooms', '/a/chat', '/rooms'],
  ] as const) {
    it(`is corrected, with a warning, if it is ${url}`, () => {
      const warnings = recordWarnings();
      expect(parseServiceUrl(url)).to.include({ mountPath });
      expect(warnings).to.deep.equal([
        `url should not end in ${added}. If the service is mounted there, add a slash: ${url}/`,
      ]);
    });
  }

  it('throws a TypeError for a URL that is not of a service', () => {
    for (const url of ['', 'chat.example', '/messaging', 'ftp://chat.example', 'https://chat.example?a=b']) {
      expect(() => parseServiceUrl(url), url).to.throw(TypeError, 'url must be http');
    }
  });
});

describe('the message ids of the client', () => {
  /** Loads the module again with this `crypto`. */
  async function idsWith(crypto: unknown, name: string): Promise<string[]> {
    const descriptor = Object.getOwnPropertyDescriptor(globalThis, 'crypto')!;
    Object.defineProperty(globalThis, 'crypto', { value: crypto, configurable: true });
    try {
      const { createMessageId } = await import(`../../../src/client/message.ts?${name}`);
      return Array.from({ length: 2_000 }, createMessageId);
    } finally {
      Object.defineProperty(globalThis, 'crypto', descriptor);
    }
  }

  for (const [name, crypto] of [
    ['is-complete', globalThis.crypto],
    ['has-no-randomUUID', { getRandomValues: () => {} }],
    ['is-missing', undefined],
  ] as const) {
    it(`creates different ids that the service accepts if crypto ${name.replace('-', ' ')}`, async () => {
      const ids = await idsWith(crypto, name);
      expect(new Set(ids)).to.have.property('size', ids.length);
      for (const id of ids) ClientMsgId.parse(id);
    });
  }
});

describe('the claims that the client reads', () => {
  it('reads the claims of a token', () => {
    const { token, user, entity } = createUser({ level: 7, name: 'Zoë ✨ — ÿ' });
    expect(decodeClaims(token)).to.deep.equal({ user, entity, level: '7' });
    expect(decodeClaims(sign({ sub: user.toUpperCase() }))).to.deep.equal({ user, entity: undefined, level: '0' });
  });

  it('reads no claims of a string that is not a JWT', () => {
    for (const token of ['', 'x', 'a.b.c', 'opaque-token']) expect(decodeClaims(token), token).to.equal(undefined);
  });

  const [user, entity] = ['u', 'e'];
  for (const [entity_UUID, kind, isAffected] of [
    ['u', 'user', true],
    ['u', 'any', true],
    ['u', 'entity', false],
    ['e', 'entity', true],
    ['e', 'any', true],
    ['e', 'user', false],
    ['x', 'any', false],
  ] as const) {
    it(`takes the user u of the entity e for ${isAffected ? '' : 'not '}affected by a rule of kind ${kind} for ${entity_UUID}`, () => {
      expect(mayAffectUser({ entity_UUID, kind }, { user, entity, level: '0' })).to.equal(isAffected);
      expect(mayAffectUser({ entity_UUID, kind }, undefined)).to.equal(true);
    });
  }
});

describe('the token function of the client', () => {
  const failing: Record<string, () => unknown> = {
    'throws at once': () => {
      throw new Error('no session');
    },
    rejects: () => Promise.reject(new Error('no session')),
    'returns nothing': () => undefined,
    'returns an empty token': () => '',
    'never settles': () => new Promise(() => {}),
  };
  for (const [what, token] of Object.entries(failing)) {
    it(`fails with NO_TOKEN if the token function ${what}`, async () => {
      const error = await fetchToken(token as () => string, 10).catch((thrown) => thrown);
      expect(error).to.be.instanceOf(ChatClientError).with.property('code', 'NO_TOKEN');
    });
  }
});

describe('the backoff of the client', () => {
  it('doubles the backoff up to the limit, and randomizes it', () => {
    const timeouts = { ...defaultTimeouts, backoffMs: 100, maxBackoffMs: 1_000 };
    for (const [failures, whole] of [
      [0, 100],
      [1, 200],
      [3, 800],
      [4, 1_000],
      [5_000, 1_000],
    ] as const) {
      const delays = Array.from({ length: 200 }, () => computeBackoffMs(failures, timeouts));
      expect(Math.min(...delays)).to.be.within(whole / 2, whole * 0.6);
      expect(Math.max(...delays)).to.be.within(whole * 0.9, whole);
    }
  });
});
