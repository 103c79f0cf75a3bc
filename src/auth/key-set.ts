import { KeyObject, type webcrypto } from 'node:crypto';
import { createLocalJWKSet, type JSONWebKeySet, type JWSHeaderParameters, errors as joseErrors } from 'jose';
import { minRsaBits } from '../config/setting-schemas.ts';
import { ChatError } from '../core/errors.ts';

export interface KeySetTimeouts {
  /** The interval at which the set is fetched again, whether or not tokens have needed it. */
  refreshMs: number;
  /** The maximum backoff after failures. Also the minimum interval between fetches because of an unknown key. */
  maxBackoffMs: number;
  /** The backoff after the first failure if no set was fetched yet. It doubles up to `maxBackoffMs`. */
  initialBackoffMs: number;
  /** The time limit of one attempt, including reading the body. */
  timeoutMs: number;
}

const defaultTimeouts: KeySetTimeouts = {
  refreshMs: 600_000,
  maxBackoffMs: 30_000,
  initialBackoffMs: 1_000,
  timeoutMs: 5_000,
};
const maxBytes = 256 * 1024;
const maxKeys = 1_000;

/** The keys that an issuer publishes. A fetched set stays valid until a newer one replaces it. */
export interface KeySet {
  /**
   * Throws `UNAUTHENTICATED` if the current set does not contain the key of the token. Throws `UNAVAILABLE` if the key
   * was not found and the last fetch failed, because a newer set may contain it.
   */
  findKey(header: JWSHeaderParameters): Promise<KeyObject>;
  /** False if the last attempt to fetch the set failed. */
  readonly isUp: boolean;
  /** The age of the current set; 0 if no set was fetched yet. */
  readonly ageMs: number;
  /** Fetches the set in the background, now and at every `refreshMs`. */
  open(): void;
  close(): void;
}

interface Collaborators {
  url: string;
  report: { failed(error: unknown): void; recovered(): void };
  timeouts?: Partial<KeySetTimeouts> | undefined;
}

export function createRemoteKeySet({ url, report, timeouts }: Collaborators): KeySet {
  const { refreshMs, maxBackoffMs, initialBackoffMs, timeoutMs } = { ...defaultTimeouts, ...timeouts };
  let keys: ReturnType<typeof createLocalJWKSet> | undefined;
  let fetchedAt = 0;
  let attemptedAt = Number.NEGATIVE_INFINITY;
  let failures = 0;
  let lastError: unknown;
  let attempt: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let hasEnded = false;

  async function load(): Promise<void> {
    attemptedAt = performance.now();
    try {
      keys = createLocalJWKSet(await fetchKeySet(url, timeoutMs));
      fetchedAt = performance.now();
      failures = 0;
      report.recovered();
    } catch (error) {
      failures += 1;
      lastError = error;
      report.failed(error);
    }
  }

  /** Starts an attempt, or joins the one that is running. The promise never rejects. */
  function fetchNow(): Promise<void> {
    clearTimeout(timer);
    attempt ??= load().finally(() => {
      attempt = undefined;
      const delayMs = failures > 0 ? computeBackoffMs() : refreshMs;
      if (!hasEnded) timer = setTimeout(fetchNow, delayMs * (1 + Math.random() / 10)).unref();
    });
    return attempt;
  }

  const computeBackoffMs = () =>
    keys ? maxBackoffMs : Math.min(maxBackoffMs, initialBackoffMs * 2 ** Math.max(0, failures - 1));

  /** Resolves after a fetch, or at once if the last attempt was too recent for a new one. */
  async function fetchIfDue(): Promise<void> {
    if (attempt || performance.now() - attemptedAt >= computeBackoffMs()) await fetchNow();
  }

  async function find(header: JWSHeaderParameters): Promise<KeyObject | undefined> {
    if (!keys) return undefined;
    try {
      return assertKeyLength(KeyObject.from((await keys(header)) as webcrypto.CryptoKey));
    } catch (error) {
      if (error instanceof ChatError) throw error;
      if (error instanceof joseErrors.JWKSNoMatchingKey) return undefined;
      const message =
        error instanceof joseErrors.JWKSMultipleMatchingKeys
          ? 'The token has no kid, and several keys in the key set match'
          : 'The key of the token in the key set cannot be used';
      throw new ChatError('UNAUTHENTICATED', { message, cause: error });
    }
  }

  return {
    async findKey(header) {
      const known = await find(header);
      if (known) return known;
      await fetchIfDue();
      const fresh = await find(header);
      if (fresh) return fresh;
      if (failures === 0) {
        throw new ChatError('UNAUTHENTICATED', { message: 'The key set has no key for the kid and alg of the token' });
      }
      throw new ChatError('UNAVAILABLE', {
        message: 'The keys for verifying tokens are unavailable, retry later',
        cause: lastError,
      });
    },
    get isUp() {
      return failures === 0;
    },
    get ageMs() {
      return keys ? performance.now() - fetchedAt : 0;
    },
    open: () => void fetchNow(),
    close() {
      hasEnded = true;
      clearTimeout(timer);
    },
  };
}

/**
 * Rejects short RSA keys: they can be factored, and then anyone can sign tokens. The key in `JWT_PUBLIC_KEY` needs no
 * check here, because the configuration checks it when the server starts.
 */
function assertKeyLength(key: KeyObject): KeyObject {
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits === undefined || bits >= minRsaBits) return key;
  const message = `The key of the token has ${bits} bits; an RSA key must have at least ${minRsaBits}`;
  throw new ChatError('UNAUTHENTICATED', { message });
}

async function fetchKeySet(url: string, timeoutMs: number): Promise<JSONWebKeySet> {
  const signal = AbortSignal.timeout(timeoutMs);
  const headers = { accept: 'application/jwk-set+json, application/json' };
  const response = await fetch(url, { headers, signal, redirect: 'manual' });
  const { status } = response;
  if (status !== 200) {
    void response.body?.cancel();
    const to = response.headers.get('location');
    throw new Error(
      `JWT_JWKS_URL responded with status ${status}${to ? ` and redirects to ${to}: set that address` : ''}`,
    );
  }
  return readKeySet(await readText(response));
}

/**
 * Reads at most `maxBytes`. The bytes are counted after decompression and as they arrive, because `Content-Length` may
 * be wrong.
 */
async function readText(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body ?? []) {
    bytes += part.length;
    if (bytes > maxBytes) throw new Error(`The key set of JWT_JWKS_URL is larger than ${maxBytes} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

/** Throws an error if the set has no usable key. That is a mistake of the issuer, so the previous set stays in use. */
function readKeySet(text: string): JSONWebKeySet {
  let set: { keys?: unknown } | null;
  try {
    set = JSON.parse(text);
  } catch {
    throw new Error('The response of JWT_JWKS_URL is not JSON');
  }
  if (!Array.isArray(set?.keys))
    throw new Error('The response of JWT_JWKS_URL is not a key set: it has no array `keys`');
  const { keys } = set;
  if (keys.length > maxKeys)
    throw new Error(`The key set of JWT_JWKS_URL has ${keys.length} keys, more than ${maxKeys}`);
  const usable = keys.filter((key) => key?.kty === 'RSA' || key?.kty === 'EC');
  if (usable.length === 0) throw new Error('The key set of JWT_JWKS_URL has no RSA or EC key');
  return { keys: usable };
}
