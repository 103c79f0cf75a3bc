import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { Webhook } from 'standardwebhooks';
import { createWebhookHeaders, parseWebhookSecrets } from '../../../src/core/webhook-signature.ts';

const createSecret = (bytes = 32) => `whsec_${randomBytes(bytes).toString('base64')}`;
const content = () => ({ id: 'app:1.1-2', timestamp: Math.floor(Date.now() / 1_000), body: '{"content":"¡Olé! 👋"}' });

describe('The signature of a webhook', () => {
  for (const bytes of [24, 32, 64]) {
    it(`is accepted by the library of Standard Webhooks with a secret of ${bytes} bytes`, () => {
      const secret = createSecret(bytes);
      const headers = createWebhookHeaders(parseWebhookSecrets(secret) as Uint8Array[], content());
      expect(new Webhook(secret).verify(content().body, { ...headers })).to.deep.equal(JSON.parse(content().body));
    });
  }

  it('is accepted with either secret while one is replaced, and with no other', () => {
    const [former, next] = [createSecret(), createSecret()];
    const headers = createWebhookHeaders(parseWebhookSecrets(`${former} ${next}`) as Uint8Array[], content());
    for (const secret of [former, next]) new Webhook(secret).verify(content().body, { ...headers });
    expect(() => new Webhook(createSecret()).verify(content().body, { ...headers })).to.throw('No matching signature');
  });

  it('does not fit another body', () => {
    const secret = createSecret();
    const headers = createWebhookHeaders(parseWebhookSecrets(secret) as Uint8Array[], content());
    expect(() => new Webhook(secret).verify(`${content().body} `, { ...headers })).to.throw('No matching signature');
  });
});
