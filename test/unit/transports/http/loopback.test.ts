import { expect } from 'chai';
import { comesFromOwnPage, isLoopback } from '../../../../src/transports/http/loopback.ts';

const host = '127.0.0.1:7777';
const own = { host, origin: `http://${host}` };

const judged = (headers: Record<string, string | undefined>) => comesFromOwnPage({ headers });

describe('The page of this very listener', () => {
  for (const name of ['127.0.0.1:7777', '127.8.9.1', 'localhost:7777', 'localhost', '[::1]:7777', '[::1]']) {
    it(`is at ${name}`, () => {
      expect(judged({ host: name, origin: `http://${name}` })).to.equal(true);
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
    it(`is not at ${name || 'no name'}, whatever the origin says`, () => {
      expect(judged({ host: name, origin: `http://${name}` })).to.equal(false);
      expect(judged({ host: name, origin: own.origin })).to.equal(false);
    });
  }

  it('is not where there is no Host', () => {
    expect(judged({ host: undefined, origin: own.origin })).to.equal(false);
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
    it(`has no origin ${origin ?? 'that is missing'}`, () => {
      expect(judged({ host, origin })).to.equal(false);
    });
  }

  it('asks with the headers that browsers send', () => {
    const headers = { 'user-agent': 'x', accept: '*/*', 'sec-fetch-site': 'same-origin', 'content-type': 'x' };
    expect(judged({ ...own, ...headers })).to.equal(true);
  });
});

describe('An address to listen on', () => {
  for (const address of ['127.0.0.1', '127.255.0.9', '::1']) {
    it(`is loopback: ${address}`, () => expect(isLoopback(address)).to.equal(true));
  }
  for (const address of ['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', '::2', 'fe80::1', 'localhost', '']) {
    it(`is not: ${address || 'none'}`, () => expect(isLoopback(address)).to.equal(false));
  }
});
