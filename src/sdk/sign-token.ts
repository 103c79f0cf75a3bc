import { createPrivateKey, createSecretKey, type KeyObject, randomUUID } from 'node:crypto';
import { signClaims } from '../auth/token-signing.ts';
import { isUuid } from './user-uuid.ts';

/** The claims by which the service knows a user. docs/protocol/authentication.md has a table of them. */
export interface TokenClaims {
  userUUID: string;
  /** The organisation of the user. */
  entityUUID?: string | undefined;
  /** The rank of the user in the organisation; 0 by default. */
  levelOnEntity?: number | undefined;
  /** Words separated by spaces, such as `rooms:create`. */
  scope?: string | undefined;
}

export interface SignOptions {
  /** The lifetime of the token, 600 by default. The client asks for another token before it ends. */
  seconds?: number | undefined;
  /** The id of the token, by which it can be revoked; a random UUID by default. */
  jti?: string | undefined;
  /** Required if the service has `JWT_AUDIENCE`. */
  audience?: string | undefined;
  /** Required if the service has `JWT_ISSUER`. */
  issuer?: string | undefined;
  /** The id of the private key in the key set, if the service has `JWT_JWKS_URL`. */
  kid?: string | undefined;
}

/** The service itself is the emitter with this UUID; the service refuses it in tokens. */
const nil = '00000000-0000-0000-0000-000000000000';

const algorithms: Record<string, string> = { rsa: 'RS256', ec: 'ES256' };

/** A text is a shared secret, unless it is a private key in PEM. */
function toSigningKey(key: string | KeyObject): { key: KeyObject; alg: string } {
  const parsed = typeof key === 'string' ? parseKey(key) : key;
  if (parsed.type === 'secret') return { key: parsed, alg: 'HS256' };
  const alg = parsed.type === 'private' ? algorithms[parsed.asymmetricKeyType!] : undefined;
  if (!alg) throw new TypeError('key: must be the shared secret, or a private key of RSA or of the curve P-256');
  return { key: parsed, alg };
}

function parseKey(text: string): KeyObject {
  if (text === '') throw new TypeError('key: must be the shared secret or a private key in PEM, not an empty text');
  return text.trimStart().startsWith('-----BEGIN') ? createPrivateKey(text) : createSecretKey(Buffer.from(text));
}

/**
 * Signs the token of a user, whom your backend has authenticated before. `key` is the secret of the service's
 * `JWT_SECRET`, or the private key that belongs to its `JWT_PUBLIC_KEY` or `JWT_JWKS_URL`. Rejects with a TypeError that
 * names the wrong claim.
 */
export async function signToken(
  { userUUID, entityUUID, levelOnEntity = 0, scope }: TokenClaims,
  key: string | KeyObject,
  { seconds = 600, jti = randomUUID(), audience, issuer, kid }: SignOptions = {},
): Promise<string> {
  if (!isUuid(userUUID)) throw new TypeError('userUUID: must be a UUID; derive one from another id with userUuid()');
  if (userUUID === nil) throw new TypeError('userUUID: the nil UUID is the service itself');
  if (entityUUID !== undefined && !isUuid(entityUUID)) {
    throw new TypeError('entityUUID: must be a UUID; derive one from another id with entityUuid()');
  }
  if (!Number.isSafeInteger(levelOnEntity)) throw new TypeError('levelOnEntity: must be an integer');
  if (!Number.isSafeInteger(seconds) || seconds < 1) throw new TypeError('seconds: must be a whole number from 1');
  const claims = { userUUID, levelOnEntity, ...(entityUUID && { entityUUID }), ...(scope && { scope }) };
  return signClaims({ claims, seconds, jti, audience, issuer }, { ...toSigningKey(key), ...(kid && { kid }) });
}
