import { KeyObject, type webcrypto } from 'node:crypto';
import { createLocalJWKSet, type JSONWebKeySet, type JWSHeaderParameters, errors as joseErrors } from 'jose';
import { minRsaBits } from '../config/setting-schemas.ts';
import { ChatError } from '../core/errors.ts';

export interface KeySetTimeouts {
  /** A set is fetched again after this, used or not. */
  refreshMs: number;
  /** Between two attempts, successful or not. */
  maxBackoffMs: number;
  /** As long as there is no set: the pause after the first failure, which doubles up to `pauseMs`. */
  initialBackoffMs: number;
  /** How long one attempt may take, the body included. */
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
  /** Throws `UNAUTHENTICATED` for a token whose key is not in the set, `UNAVAILABLE` if that cannot be known. */
  findKey(header: JWSHeaderParameters): Promise<KeyObject>;
  /** Whether the last attempt succeeded. */
  readonly isUp: boolean;
  /** The age of the current set; 0 without one. */
  readonly ageMs: number;
  /** Fetches the set in the background, now and at every interval. */
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

  /** One attempt at a time; it never rejects. */
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

  /** Resolves after a fetch, or at once if the last one was too recent. */
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
          ? 'The token has no kid, and several keys of the set fit'
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
      throw new ChatError('UNAVAILABLE', { message: 'The keys for tokens cannot be had right now', cause: lastError });
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

/** A short key can be factored, and then anyone can sign. `JWT_PUBLIC_KEY` is checked at the start. */
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
    throw new Error(`JWT_JWKS_URL answers ${status}${to ? ` and redirects to ${to}: set that address` : ''}`);
  }
  return readKeySet(await readText(response));
}

/** Keeps at most `maxBytes`, whatever the declared length is, and also of a compressed body. */
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

/** An empty set is a mistake of the issuer: the previous set stays in use. */
function readKeySet(text: string): JSONWebKeySet {
  let set: { keys?: unknown } | null;
  try {
    set = JSON.parse(text);
  } catch {
    throw new Error('JWT_JWKS_URL answers with something that is not JSON');
  }
  if (!Array.isArray(set?.keys)) throw new Error('JWT_JWKS_URL answers without a list `keys`: it is no key set');
  const { keys } = set;
  if (keys.length > maxKeys)
    throw new Error(`The key set of JWT_JWKS_URL has ${keys.length} keys, more than ${maxKeys}`);
  const usable = keys.filter((key) => key?.kty === 'RSA' || key?.kty === 'EC');
  if (usable.length === 0) throw new Error('The key set of JWT_JWKS_URL has no RSA or EC key');
  return { keys: usable };
}
