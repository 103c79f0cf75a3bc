import { createHmac } from 'node:crypto';

/** The headers of a signed request, as the Standard Webhooks specification names them. */
export interface WebhookHeaders {
  'webhook-id': string;
  'webhook-timestamp': string;
  'webhook-signature': string;
}

interface SignedContent {
  id: string;
  /** In seconds since 1970. */
  timestamp: number;
  body: string;
}

/** Returns the signature of one secret, which is `v1,` and base64. */
export function signWebhook(secret: Uint8Array, { id, timestamp, body }: SignedContent): string {
  const hmac = createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`, 'utf8');
  return `v1,${hmac.digest('base64')}`;
}

/** While a secret is replaced, both secrets sign, and a receiver accepts either signature. */
export function createWebhookHeaders(secrets: readonly Uint8Array[], content: SignedContent): WebhookHeaders {
  return {
    'webhook-id': content.id,
    'webhook-timestamp': String(content.timestamp),
    'webhook-signature': secrets.map((secret) => signWebhook(secret, content)).join(' '),
  };
}

const minSecretBytes = 24;
const maxSecretBytes = 64;

/**
 * Parses one secret or several that are separated by a space, each `whsec_` and base64 of 24 to 64 bytes. Returns a text
 * that explains the mistake if there is any.
 */
export function parseWebhookSecrets(text: string): Uint8Array[] | string {
  const secrets: Uint8Array[] = [];
  for (const part of text.split(' ')) {
    const base64 = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(part)?.[1];
    const secret = base64 === undefined ? undefined : Buffer.from(base64, 'base64');
    if (!secret || secret.toString('base64').replaceAll('=', '') !== base64!.replaceAll('=', '')) {
      return 'must be whsec_ and base64, or two such secrets separated by a space; make one with: echo "whsec_$(openssl rand -base64 32)"';
    }
    if (secret.length < minSecretBytes || secret.length > maxSecretBytes) {
      return `must have ${minSecretBytes} to ${maxSecretBytes} bytes in base64, not ${secret.length}; make one with: echo "whsec_$(openssl rand -base64 32)"`;
    }
    secrets.push(secret);
  }
  return secrets.length <= 2 ? secrets : 'must be one secret, or two separated by a space while one is replaced';
}
