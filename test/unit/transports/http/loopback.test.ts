import { expect } from 'chai';
import { isFromOwnPage, isLoopback } from '../../../../src/transports/http/loopback.ts';

const host = '127.0.0.1:7777';
const own = { host, origin: `http://${host}` };

const isOwnOrigin = (headers: Record<string, string | undefined>) => isFromOwnPage({ headers });

describe('the page of the same listener', () => {
  for (const name of ['127.0.0.1:7777', '127.8.9.1', 'localhost:7777', 'localhost', '[::1]:7777', '[::1]']) {
    it(`is recognised at ${name}`, () => {
      expect(isOwnOrigin({ host: name, origin: `http://${name}` })).to.equal(true);
    });
  }

  for (const name of [
    'evil.example',
    'evil.example:7777',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '192.168.1.5:7777',
    '0.0.0.0:7777',
    '128.0.0.1',
    '127.0.0.1@evil.example',
    '[::2]:7777',
    '[::ffff:10.0.0.1]',
    '',
  ]) {
    it(`is not recognised at ${name || 'no name'}, whatever the origin`, () => {
      expect(isOwnOrigin({ host: name, origin: `http://${name}` })).to.equal(false);
      expect(isOwnOrigin({ host: name, origin: own.origin })).to.equal(false);
    });
  }

  it('is not recognised without a Host header', () => {
    expect(isOwnOrigin({ host: undefined, origin: own.origin })).to.equal(false);
  });

  for (const origin of [
    undefined,
    'null',
    'http://127.0.0.1:7778',
    'http://127.0.0.1',
    'http://localhost:7777',
    'https://127.0.0.1:7777',
    'http://127.0.0.1:7777/',
    'http://127.0.0.1:7777.evil.example',
    'http://evil.example',
  ]) {
    it(`is not recognised with ${origin === undefined ? 'a missing origin' : `the origin ${origin}`}`, () => {
      expect(isOwnOrigin({ host, origin })).to.equal(false);
    });
  }

  it('is recognised by the headers that browsers send', () => {
    const headers = { 'user-agent': 'x', accept: '*/*', 'sec-fetch-site': 'same-origin', 'content-type': 'x' };
    expect(isOwnOrigin({ ...own, ...headers })).to.equal(true);
  });
});

describe('an address to listen on', () => {
  for (const address of ['127.0.0.1', '127.255.0.9', '::1']) {
    it(`is a loopback address: ${address}`, () => expect(isLoopback(address)).to.equal(true));
  }
  for (const address of ['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', '::2', 'fe80::1', 'localhost', '']) {
    it(`is not a loopback address: ${address || 'none'}`, () => expect(isLoopback(address)).to.equal(false));
  }
});
