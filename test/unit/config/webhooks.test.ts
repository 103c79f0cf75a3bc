import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ConfigError, readConfig } from '../../../src/config/config.ts';

const secret = `whsec_${Buffer.alloc(24, 'x').toString('base64')}`;
const endpoint = { name: 'app', url: 'http://app:3000/hooks', secret };

const read = (value: unknown) => readConfig({ WEBHOOKS: typeof value === 'string' ? value : JSON.stringify(value) });

function readMistakes(value: unknown): string[] {
  try {
    read(value);
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes;
    throw error;
  }
  return [];
}

describe('WEBHOOKS', () => {
  it('is empty by default', () => expect(readConfig({}).webhooks).to.deep.equal([]));

  it('contains the endpoints with their decoded secrets', () => {
    const [only] = read([{ ...endpoint, events: ['message:new'], timeout_seconds: 5 }]).webhooks;
    expect(only).to.deep.equal({
      ...{ name: 'app', url: 'http://app:3000/hooks', events: ['message:new'], timeoutMs: 5_000 },
      secrets: [Buffer.alloc(24, 'x')],
    });
  });

  it('takes two secrets while one is replaced, and waits 15 s for an answer', () => {
    const [only] = read([{ ...endpoint, secret: `${secret} ${secret}` }]).webhooks;
    expect(only!.secrets).to.have.length(2);
    expect(only!.timeoutMs).to.equal(15_000);
  });

  it('can be in a file', () => {
    const directory = mkdtempSync(join(tmpdir(), 'nano-webhooks-'));
    try {
      const path = join(directory, 'webhooks.json');
      writeFileSync(path, `${JSON.stringify([endpoint])}\n`);
      expect(read(`@${path}`).webhooks).to.have.length(1);
      expect(readMistakes(`@${path}x`)).to.deep.equal([`WEBHOOKS: ${path}x does not exist`]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  const mistakes: [title: string, value: unknown, mistake: RegExp][] = [
    ['no JSON', 'http://app', /^WEBHOOKS: must be a JSON list of endpoints, or @ and the path/],
    ['an object', endpoint, /^WEBHOOKS: must be a JSON list of objects/],
    ['a missing name', [{ ...endpoint, name: undefined }], /^WEBHOOKS: \[0\]\.name: must be 1 to 63/],
    ['a name with a space', [{ ...endpoint, name: 'my app' }], /^WEBHOOKS: \[0\]\.name: must be 1 to 63/],
    ['a name that is used twice', [endpoint, endpoint], /^WEBHOOKS: \[1\]\.name: app is used twice/],
    [
      'another protocol',
      [endpoint, { ...endpoint, name: 'b', url: 'ftp://x' }],
      /^WEBHOOKS: \[1\]\.url: must be a URL/,
    ],
    ['a password in the URL', [{ ...endpoint, url: 'https://a:b@app/x' }], /^WEBHOOKS: \[0\]\.url: .*without a user/],
    ['a secret without its prefix', [{ ...endpoint, secret: 'abc' }], /^WEBHOOKS: \[0\]\.secret: must be whsec_/],
    [
      'a short secret',
      [{ ...endpoint, secret: 'whsec_YWJj' }],
      /^WEBHOOKS: \[0\]\.secret: must have 24 to 64 bytes .*, not 3/,
    ],
    [
      'three secrets',
      [{ ...endpoint, secret: `${secret} ${secret} ${secret}` }],
      /^WEBHOOKS: \[0\]\.secret: must be one secret, or two/,
    ],
    [
      'an unknown event',
      [{ ...endpoint, events: ['message'] }],
      /^WEBHOOKS: \[0\]\.events\[0\]: must be one of message:new/,
    ],
    ['an empty list of events', [{ ...endpoint, events: [] }], /^WEBHOOKS: \[0\]\.events: must not be empty/],
    [
      'a timeout of an hour',
      [{ ...endpoint, timeout_seconds: 3_600 }],
      /^WEBHOOKS: \[0\]\.timeout_seconds: must be a whole number from 1 to 60/,
    ],
    ['a misspelt field', [{ ...endpoint, secrets: secret }], /^WEBHOOKS: \[0\]: .*"secrets"/],
  ];
  for (const [title, value, mistake] of mistakes) {
    it(`refuses ${title} with an error that names the field and contains no secret`, () => {
      const [only, ...others] = readMistakes(value);
      expect(others).to.deep.equal([]);
      expect(only).to.match(mistake);
      expect(only).not.to.include(secret);
    });
  }

  for (const [url, isPublic] of [
    ['http://hooks.example.com/x', true],
    ['http://93.184.216.34/x', true],
    ['http://[2606:2800:220::1]/x', true],
    ['https://hooks.example.com/x', false],
    ['http://app:3000/x', false],
    ['http://localhost:3000/x', false],
    ['http://10.0.0.7/x', false],
    ['http://172.20.0.7/x', false],
    ['http://[::1]:3000/x', false],
    ['http://app.default.svc.cluster.local/x', false],
    ['http://app.internal/x', false],
  ] as const) {
    it(`${isPublic ? 'warns' : 'does not warn'} about ${url}`, () => {
      const { warnings } = read([{ ...endpoint, url }]);
      expect(warnings.filter((warning) => warning.startsWith('WEBHOOKS: app sends messages over http'))).to.have.length(
        Number(isPublic),
      );
    });
  }
});
