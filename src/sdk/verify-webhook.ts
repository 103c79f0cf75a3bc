import { createHmac, timingSafeEqual } from 'node:crypto';
import type { WebhookPayload } from '../features/webhooks/payload.ts';

/** Headers of Node.js, of `fetch`, or of a framework that has them as an object. Their names are in any case. */
export type WebhookHeaders = Pick<Headers, 'get'> | Readonly<Record<string, string | readonly string[] | undefined>>;

export type WebhookErrorCode =
  /** A header of the Standard Webhooks specification is missing or is not in its format. */
  | 'INVALID_HEADER'
  /** The timestamp is too far in the past: an old request was sent again, or the clock of a machine is wrong. */
  | 'TOO_OLD'
  /** The timestamp is too far in the future: the clock of a machine is wrong. */
  | 'TOO_NEW'
  /** No signature fits: the secret is wrong, or the body is not what was sent. */
  | 'WRONG_SIGNATURE';

/** The request is not from the service, or cannot be verified. Answer it with 401. */
export class WebhookVerificationError extends Error {
  readonly code: WebhookErrorCode;

  constructor(code: WebhookErrorCode, message: string) {
    super(message);
    this.name = 'WebhookVerificationError';
    this.code = code;
  }
}

interface VerifyOptions {
  /** How far the timestamp of the request may be from the clock of this machine; 300 by default. */
  toleranceSeconds?: number | undefined;
}

const secretShape = /^whsec_([A-Za-z0-9+/]+={0,2})$/;

function parseSecret(secret: string): Buffer {
  const key = Buffer.from(secretShape.exec(secret)?.[1] ?? '', 'base64');
  if (key.length < 24 || key.length > 64) {
    throw new TypeError('secrets: must be whsec_ and the base64 of 24 to 64 bytes, as in WEBHOOKS of the service');
  }
  return key;
}

/** Throws a TypeError if a secret is not in the format of the specification. */
export function parseSecrets(secrets: string | readonly string[]): Buffer[] {
  const words = [secrets].flat().flatMap((given) => String(given).trim().split(/\s+/));
  if (words.length === 0) throw new TypeError('secrets: at least one is required');
  return words.map(parseSecret);
}

function readHeader(headers: WebhookHeaders, name: string): string {
  const given =
    typeof headers.get === 'function'
      ? headers.get(name)
      : Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  const value = typeof given === 'string' ? given : given?.[0];
  if (!value) throw new WebhookVerificationError('INVALID_HEADER', `The header ${name} is missing`);
  return value;
}

function assertRecent(timestamp: string, toleranceSeconds: number): void {
  if (!/^\d{1,12}$/.test(timestamp)) {
    throw new WebhookVerificationError('INVALID_HEADER', 'The header webhook-timestamp must be in seconds since 1970');
  }
  const age = Math.floor(Date.now() / 1_000) - Number(timestamp);
  const limit = `at most ${toleranceSeconds} s are allowed; compare the clocks of both machines`;
  if (age > toleranceSeconds) throw new WebhookVerificationError('TOO_OLD', `The request is ${age} s old: ${limit}`);
  if (-age > toleranceSeconds) {
    throw new WebhookVerificationError('TOO_NEW', `The request is from ${-age} s in the future: ${limit}`);
  }
}

const isBytes = (body: unknown): body is string | Uint8Array => typeof body === 'string' || body instanceof Uint8Array;

/**
 * Verifies a webhook by the Standard Webhooks specification and returns its payload. Throws a
 * `WebhookVerificationError` if the request is not from the service, and a TypeError if the call is wrong.
 *
 * `rawBody` must be the bytes or the text of the request as they were received. A framework that parses JSON first
 * loses them: `JSON.stringify` does not restore them. `secrets` is the `secret` of the service's `WEBHOOKS`; while it is
 * replaced, give both, in an array or separated by a space.
 */
export function verifyWebhook(
  headers: WebhookHeaders,
  rawBody: string | Uint8Array,
  secrets: string | readonly string[],
  { toleranceSeconds = 300 }: VerifyOptions = {},
): WebhookPayload {
  if (!isBytes(rawBody)) {
    throw new TypeError(
      'rawBody: must be the body as it was received, as text or bytes, not a parsed object: ' +
        "in Express, give the route express.raw({ type: 'application/json' }) before express.json() runs",
    );
  }
  if (!(toleranceSeconds > 0)) throw new TypeError('toleranceSeconds: must be greater than 0');
  const keys = parseSecrets(secrets);
  const id = readHeader(headers, 'webhook-id');
  const timestamp = readHeader(headers, 'webhook-timestamp');
  const given = readHeader(headers, 'webhook-signature')
    .split(' ')
    .filter((signature) => signature.startsWith('v1,'))
    .map((signature) => Buffer.from(signature.slice(3), 'base64'));
  if (given.length === 0) {
    throw new WebhookVerificationError('INVALID_HEADER', 'The header webhook-signature has no signature of version v1');
  }
  assertRecent(timestamp, toleranceSeconds);
  const expected = keys.map((key) => createHmac('sha256', key).update(`${id}.${timestamp}.`).update(rawBody).digest());
  const fits = given.some((signature) => expected.some((digest) => isEqual(signature, digest)));
  if (!fits) {
    throw new WebhookVerificationError(
      'WRONG_SIGNATURE',
      'No signature fits: the secret is not the one in WEBHOOKS of the service, or the body was changed, ' +
        'for example parsed and serialized again',
    );
  }
  return JSON.parse(typeof rawBody === 'string' ? rawBody : new TextDecoder().decode(rawBody));
}

const isEqual = (a: Buffer, b: Buffer) => a.length === b.length && timingSafeEqual(a, b);
