import { createPublicKey, type KeyObject } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { findWeakness } from './secret-strength.ts';

const integer = (min: number, max: number) =>
  z
    .string()
    .regex(/^[0-9]+$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`));

export const wholeNumber = ({ min = 0, max = 2_147_483_647 } = {}) => integer(min, max);

export const port = integer(0, 65_535);

const maxWorkers = 256;

/** `auto` becomes the number of cores that this process may use. */
export const workers = z.union([z.literal('auto').transform(() => availableParallelism()), integer(1, maxWorkers)], {
  error: `must be auto, or a whole number from 1 to ${maxWorkers}`,
});

/** Parses a number of seconds, and converts it to milliseconds. */
export const seconds = ({ min = 1, max = 3_600 } = {}) => integer(min, max).transform((value) => value * 1_000);

// A trailing line end is rejected and not removed. If the value is a secret, the program that signs the tokens may read
// the same value and keep the line end, and then the two secrets would differ.
export const text = z.string().regex(/^[^\p{Cc}\u{feff}]*$/u, {
  error: 'must not contain line ends or other control characters',
  abort: true,
});

export const list = text
  .transform((value) => value.split(',').map((item) => item.trim()))
  .refine((items) => items.every(Boolean), 'must be one value, or several values separated by commas');

export const choice = <const T extends [string, string, ...string[]]>(...values: T) => {
  const last = values.at(-1);
  return z.enum(values, { error: `must be ${values.slice(0, -1).join(', ')} or ${last}` });
};

/**
 * Converts each origin to the form that browsers send, so that the two can be compared. `*` becomes `undefined`, which
 * allows every origin.
 */
export const origins = list.transform((items, context) => {
  if (items.length === 1 && items[0] === '*') return undefined;
  for (const item of items) {
    if (!/^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@*]+$/i.test(item)) {
      const message = `${item} is not an origin; write * alone, or origins such as https://app.example,https://app.example:8443`;
      context.addIssue({ code: 'custom', message });
    }
  }
  return items.map((item) =>
    /^https?:/i.test(item) && URL.canParse(item) ? new URL(item).origin : item.toLowerCase(),
  );
});

export const url = (...protocols: string[]) =>
  text.refine((value) => URL.canParse(value) && protocols.includes(new URL(value).protocol), {
    message: `must be a URL that starts with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
  });

/** RFC 7518 (3.3) requires this size for RS256. */
export const minRsaBits = 2_048;
/** RFC 7518 (3.2) requires this size for HS256. */
const minSecretBytes = 32;

const secretAdvice = 'make one with: openssl rand -base64 32';

const secret = (minBytes: number) =>
  text.superRefine((value, context) => {
    const weakness = findWeakness(value, minBytes);
    if (weakness) context.addIssue({ code: 'custom', message: `${weakness}; ${secretAdvice}` });
  });

export const jwtSecrets = z
  .string()
  // If a public key were used as a secret, everybody who has the public key could sign tokens.
  .refine((value) => !value.includes('-----BEGIN'), {
    message: 'is a key in PEM; set JWT_PUBLIC_KEY instead',
    abort: true,
  })
  .pipe(list)
  .pipe(z.array(secret(minSecretBytes)));

export const metricsToken = secret(16);

/** Several tokens are separated by commas, without spaces. */
export const adminTokens = z
  .string()
  .regex(/^[\x21-\x7e]*$/, { error: 'must be ASCII characters without spaces', abort: true })
  .pipe(list)
  .pipe(z.array(secret(32)));

export const publicKey = z.string().transform((pem, context): { key: KeyObject; algorithm: 'RS256' | 'ES256' } => {
  try {
    const key = createPublicKey(pem.replaceAll('\\n', '\n'));
    const { modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
    if (key.asymmetricKeyType === 'rsa' && modulusLength < minRsaBits) {
      context.addIssue({
        code: 'custom',
        message: `is an RSA key of ${modulusLength} bits; it must have at least ${minRsaBits}`,
      });
      return z.NEVER;
    }
    if (key.asymmetricKeyType === 'rsa') return { key, algorithm: 'RS256' };
    if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') {
      return { key, algorithm: 'ES256' };
    }
    context.addIssue({ code: 'custom', message: 'must be an RSA or a P-256 key' });
  } catch {
    context.addIssue({ code: 'custom', message: 'must be a public key in PEM' });
  }
  return z.NEVER;
});

/** Rejects URLs that the Redis client does not accept, so that the mistake is reported at the start. */
const redisUrl = url('redis:', 'rediss:')
  .refine(
    (value) => isDecodable(value),
    'has a % in its user or password that is not followed by two hexadecimal digits: write %25',
  )
  .refine((value) => /^\/?[0-9]*$/.test(getPath(value)), 'must have no path, or the number of a database as its path');

export const redisUrls = list.pipe(z.array(redisUrl).superRefine(rejectClusterDatabase));

const getPath = (value: string) => (URL.canParse(value) ? new URL(value).pathname : '');

function isDecodable(value: string): boolean {
  if (!URL.canParse(value)) return true;
  const { username, password } = new URL(value);
  try {
    decodeURIComponent(username + password);
    return true;
  } catch {
    return false;
  }
}

function rejectClusterDatabase(urls: string[], context: z.RefinementCtx): void {
  if (urls.length < 2 || urls.every((value) => Number(getPath(value).slice(1)) === 0)) return;
  context.addIssue({
    code: 'custom',
    message: 'has several addresses and a database number, but a Redis Cluster has only database 0: remove the number',
  });
}
