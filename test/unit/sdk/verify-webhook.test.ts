import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { Webhook } from 'standardwebhooks';
import { verifyWebhook, WebhookVerificationError } from '../../../src/sdk/sdk.ts';

const createSecret = (bytes = 32) => `whsec_${randomBytes(bytes).toString('base64')}`;
const secret = createSecret();
const body = '{"type":"changes","data":{"changes":[{"content":"Ελληνικά 👍"}]}}';

interface Signed {
  headers: Record<string, string>;
  body: string;
}

/** Signs as the library `standardwebhooks` does. */
function signed({ by = [secret], ageSeconds = 0 }: { by?: string[]; ageSeconds?: number } = {}): Signed {
  const date = new Date(Date.now() - ageSeconds * 1_000);
  const headers = {
    'webhook-id': 'msg_1',
    'webhook-timestamp': String(Math.floor(date.getTime() / 1_000)),
    'webhook-signature': by.map((key) => new Webhook(key).sign('msg_1', date, body)).join(' '),
  };
  return { headers, body };
}

function codeOf(verify: () => unknown): string {
  try {
    verify();
  } catch (error) {
    expect(error).to.be.an.instanceof(WebhookVerificationError);
    return (error as WebhookVerificationError).code;
  }
  return 'accepted';
}

describe('verifyWebhook', () => {
  it('accepts the request of the library standardwebhooks and returns its payload', () => {
    expect(verifyWebhook(signed().headers, body, secret)).to.deep.equal(JSON.parse(body));
  });

  it('accepts the signature that the specification of Standard Webhooks gives as an example', () => {
    const headers = {
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    };
    const known = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
    const payload = verifyWebhook(headers, '{"test": 2432232314}', known, {
      toleranceSeconds: Number.POSITIVE_INFINITY,
    });
    expect(payload).to.deep.equal({ test: 2_432_232_314 });
    expect(codeOf(() => verifyWebhook(headers, '{"test": 2432232314}', known))).to.equal('TOO_OLD');
  });

  const forms: [string, (given: Signed) => [headers: never, body: string | Uint8Array]][] = [
    ['headers of fetch', ({ headers, body }) => [new Headers(headers) as never, body]],
    [
      'headers with upper-case names and values in arrays',
      ({ headers, body }) => [
        Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), [value]])) as never,
        body,
      ],
    ],
    ['a body in bytes', ({ headers, body }) => [headers as never, new TextEncoder().encode(body)]],
    ['a body in a Buffer', ({ headers, body }) => [headers as never, Buffer.from(body)]],
  ];
  for (const [title, convert] of forms) {
    it(`accepts ${title}`, () => {
      const [headers, given] = convert(signed());
      expect(verifyWebhook(headers, given, secret)).to.deep.equal(JSON.parse(body));
    });
  }

  it('accepts a request during a change of secrets, whichever of them signs it and whichever the receiver knows', () => {
    const next = createSecret();
    const known = [secret, next, [secret, next], [next, secret], `${next} ${secret}`];
    for (const by of [[secret], [next], [secret, next]]) {
      for (const secrets of known) {
        const fits = by.some((key) => [secrets].flat().join(' ').includes(key));
        const code = codeOf(() => verifyWebhook(signed({ by }).headers, body, secrets));
        expect(code).to.equal(fits ? 'accepted' : 'WRONG_SIGNATURE');
      }
    }
  });

  it('ignores signatures of other versions, and needs one of version v1', () => {
    const { headers } = signed();
    const v1 = headers['webhook-signature']!;
    const withSignature = (value: string) => ({ ...headers, 'webhook-signature': value });
    const foreign = `v1a,${randomBytes(64).toString('base64')}`;
    expect(codeOf(() => verifyWebhook(withSignature(`${foreign} ${v1}`), body, secret))).to.equal('accepted');
    expect(codeOf(() => verifyWebhook(withSignature(v1.replace('v1,', 'v1a,')), body, secret))).to.equal(
      'INVALID_HEADER',
    );
  });

  const refused: [string, Partial<Record<string, string | undefined>>, string][] = [
    ['without webhook-id', { 'webhook-id': undefined }, 'INVALID_HEADER'],
    ['without webhook-timestamp', { 'webhook-timestamp': undefined }, 'INVALID_HEADER'],
    ['without webhook-signature', { 'webhook-signature': undefined }, 'INVALID_HEADER'],
    ['with an empty signature', { 'webhook-signature': '' }, 'INVALID_HEADER'],
    ['with a signature that is cut off', { 'webhook-signature': 'v1,AAAA' }, 'WRONG_SIGNATURE'],
    ['with a timestamp that is not a number', { 'webhook-timestamp': '2026-11-28' }, 'INVALID_HEADER'],
    ['with the id of another request', { 'webhook-id': 'msg_2' }, 'WRONG_SIGNATURE'],
  ];
  for (const [title, change, code] of refused) {
    it(`refuses a request ${title} with ${code}`, () => {
      const headers = { ...signed().headers, ...change };
      expect(codeOf(() => verifyWebhook(headers, body, secret))).to.equal(code);
      expect(() => new Webhook(secret).verify(body, headers as never), 'the library agrees').to.throw();
    });
  }

  it('names the missing header', () => {
    expect(() => verifyWebhook({}, body, secret)).to.throw('The header webhook-id is missing');
  });

  it('refuses a request with a changed timestamp, although it is recent', () => {
    const { headers } = signed({ ageSeconds: 10 });
    const later = { ...headers, 'webhook-timestamp': String(Number(headers['webhook-timestamp']) + 1) };
    expect(codeOf(() => verifyWebhook(later, body, secret))).to.equal('WRONG_SIGNATURE');
  });

  for (const [ageSeconds, toleranceSeconds, code] of [
    [290, undefined, 'accepted'],
    [310, undefined, 'TOO_OLD'],
    [-290, undefined, 'accepted'],
    [-310, undefined, 'TOO_NEW'],
    [20, 10, 'TOO_OLD'],
    [310, 600, 'accepted'],
  ] as const) {
    it(`answers ${code} to a request that is ${ageSeconds} s old with a tolerance of ${toleranceSeconds ?? 'default'} s`, () => {
      const verify = () => verifyWebhook(signed({ ageSeconds }).headers, body, secret, { toleranceSeconds });
      expect(codeOf(verify)).to.equal(code);
    });
  }

  it('says that the secret is wrong or the body was changed if the body was parsed and serialized again', () => {
    const spaced = JSON.stringify(JSON.parse(body), null, 1);
    expect(() => verifyWebhook(signed().headers, spaced, secret)).to.throw(
      WebhookVerificationError,
      /serialized again/,
    );
  });

  it('throws a TypeError that explains the raw body for a parsed body', () => {
    const parsed = JSON.parse(body);
    expect(() => verifyWebhook(signed().headers, parsed, secret)).to.throw(TypeError, /express\.raw/);
  });

  const mistaken: [string, string | string[]][] = [
    ['an empty text', ''],
    ['a text that is not a secret', 'secret'],
    ['a secret without its prefix', secret.replace('whsec_', '')],
    ['a secret of 16 bytes', createSecret(16)],
    ['a secret of 65 bytes', createSecret(65)],
    ['no secrets', []],
  ];
  for (const [title, secrets] of mistaken) {
    it(`throws a TypeError for ${title}`, () => {
      const verify = () => verifyWebhook(signed().headers, body, secrets);
      expect(verify).to.throw(
        TypeError,
        /^secrets: (must be whsec_ and the base64 of 24 to 64 bytes, as|at least one)/,
      );
    });
  }

  it('throws a TypeError for a tolerance that is not a number above 0', () => {
    for (const toleranceSeconds of [0, -1, Number.NaN]) {
      const verify = () => verifyWebhook(signed().headers, body, secret, { toleranceSeconds });
      expect(verify).to.throw(TypeError, /^toleranceSeconds: /);
    }
  });
});
