import type { Logger } from 'pino';
import type { Config, TokenKeys } from '../config/config.ts';
import { createFailureLog } from '../observability/failure-log.ts';
import { loadEmbeddedSecret } from './embedded-secret.ts';
import { createRemoteKeySet, type KeySet } from './key-set.ts';

type FixedKeys = Extract<TokenKeys, { source: 'secrets' | 'public_key' }>;
type RemoteKeys = Extract<TokenKeys, { source: 'jwks' }>;

/** Returns the configured keys. Reads the embedded secret from its file, but does not fetch a remote key set yet. */
export function loadTokenKeys({ tokens: { keys }, dataDirectory }: Config): FixedKeys | RemoteKeys {
  return keys.source === 'embedded' ? { source: 'secrets', secrets: [loadEmbeddedSecret(dataDirectory)] } : keys;
}

/**
 * Returns the keys in the form that the authenticator uses. A remote key set is fetched now, and again regularly until
 * the caller closes it.
 */
export function openTokenKeys(
  keys: FixedKeys | RemoteKeys,
  { tokens }: Config,
  logger: Logger,
): FixedKeys | { source: 'jwks'; keySet: KeySet } {
  if (keys.source !== 'jwks') return keys;
  if (!tokens.audiences) {
    logger.warn(
      'JWT_JWKS_URL is set without JWT_AUDIENCE: tokens that the issuer signs for other services are accepted, too',
    );
  }
  const report = createFailureLog(logger, {
    failing: 'the key set of JWT_JWKS_URL could not be fetched; the known keys stay valid',
    recovered: 'the key set of JWT_JWKS_URL is fetched again',
  });
  const keySet = createRemoteKeySet({ url: keys.url, timeouts: keys.timeouts, report });
  keySet.open();
  return { source: 'jwks', keySet };
}
