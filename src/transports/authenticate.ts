import { createSecretKey, KeyObject, type webcrypto } from 'node:crypto';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, errors as joseErrors, jwtVerify } from 'jose';
import { Strategy } from 'passport-jwt';
import { z } from 'zod';
import { type Config, minRsaBits, type TokenKeys } from '../config.ts';
import { ChatError } from '../protocol/errors.ts';
import { Uuid } from '../protocol/identifiers.ts';
import type { Actor } from '../rooms/permissions.ts';
import { rememberingRecent } from './recent-tokens.ts';

/** A token that holds: who it speaks for, and when it was issued (0: it does not say) and ends (null: never), in seconds since 1970. */
export interface Identity {
  actor: Actor;
  issuedAt: number;
  expiresAt: number | null;
  jti: string | null;
}

export interface Authenticator {
  /** Throws `UNAUTHENTICATED`, `TOKEN_EXPIRED`, `TOKEN_REVOKED`, or `UNAVAILABLE` where the keys cannot be had. */
  verify(token: unknown): Promise<Identity>;
  /** Throws `TOKEN_REVOKED` where it has been since it was verified. */
  recheck(identity: Identity): void;
  /** For passport: the very verification that `verify` runs. */
  strategy: Strategy;
}

const level = z
  .union([z.int(), z.string().regex(/^-?[0-9]{1,15}$/)], { error: 'must be an integer, or its digits in a string' })
  .transform(Number);

const Claims = z.object({
  userUUID: z.unknown().optional(),
  sub: z.unknown().optional(),
  entityUUID: Uuid.nullish(),
  levelOnEntity: level.nullish(),
  exp: z.number().optional(),
  iat: z.unknown().optional(),
  jti: z.unknown().optional(),
  scope: z.unknown().optional(),
});

function identityOf(payload: unknown): Identity {
  const claims = Claims.safeParse(payload);
  if (!claims.success) {
    const issue = claims.error.issues[0];
    throw new ChatError('UNAUTHENTICATED', { field: issue?.path.join('.'), message: issue?.message });
  }
  const { userUUID, sub, entityUUID, levelOnEntity, exp, iat, jti, scope } = claims.data;
  const user = Uuid.safeParse(userUUID ?? sub);
  if (!user.success) throw new ChatError('UNAUTHENTICATED', { field: 'userUUID', message: 'must be a UUID' });
  const actor = {
    user: user.data,
    entity: entityUUID ?? null,
    level: levelOnEntity ?? 0,
    mayCreateRooms: typeof scope === 'string' && scope.split(' ').includes('rooms:create'),
  };
  return {
    actor,
    issuedAt: typeof iat === 'number' && Number.isFinite(iat) ? iat : 0,
    expiresAt: exp ?? null,
    jti: typeof jti === 'string' ? jti : null,
  };
}

type GiveKey = (error: unknown, key?: KeyObject) => void;

/** Finds the key for a token; passport-jwt does the verifying, with the algorithms that fit the source. */
function keySource(keys: Exclude<TokenKeys, { source: 'embedded' }>) {
  switch (keys.source) {
    case 'secrets':
      return { algorithms: ['HS256'], keyFor: secretFor(keys.secrets) };
    case 'public_key':
      return { algorithms: [keys.algorithm], keyFor: async () => keys.key };
    case 'jwks':
      return { algorithms: ['RS256', 'ES256'], keyFor: jwksKeyFor(keys.url) };
  }
}

/**
 * While a secret is rotated there are several: the one that made the signature, or the first. As key objects, because
 * jsonwebtoken first tries to read anything else as a PEM file, each time.
 */
function secretFor(secrets: readonly string[]) {
  const keys = secrets.map((secret) => createSecretKey(Buffer.from(secret)));
  return async (token: string) => {
    if (keys.length === 1) return keys[0]!;
    for (const key of keys) {
      const signedWithIt = await jwtVerify(token, key, { algorithms: ['HS256'] }).then(
        () => true,
        (error) => error instanceof joseErrors.JWTExpired || error instanceof joseErrors.JWTClaimValidationFailed,
      );
      if (signedWithIt) return key;
    }
    return keys[0]!;
  };
}

/** jose fetches the set again for an unknown `kid`, at most every 30 s, and never takes an `oct` key from it. */
function jwksKeyFor(url: string) {
  const keySet = createRemoteJWKSet(new URL(url), { cooldownDuration: 30_000, timeoutDuration: 5_000 });
  return async (token: string) => {
    const header = decodeProtectedHeader(token);
    if (header.alg !== 'RS256' && header.alg !== 'ES256') throw new ChatError('UNAUTHENTICATED');
    try {
      const key = await keySet({ ...header, alg: header.alg }, { payload: '', signature: '' });
      return longEnough(KeyObject.from(key as webcrypto.CryptoKey));
    } catch (error) {
      if (error instanceof ChatError) throw error;
      const isTheToken = error instanceof joseErrors.JWKSNoMatchingKey || error instanceof joseErrors.JOSENotSupported;
      if (isTheToken || error instanceof joseErrors.JWKSMultipleMatchingKeys) throw new ChatError('UNAUTHENTICATED');
      throw new ChatError('UNAVAILABLE', { message: 'The keys for tokens cannot be had right now', cause: error });
    }
  };
}

/** Whoever can factor a short key signs tokens with it; one of `JWT_PUBLIC_KEY` is refused at the start. */
function longEnough(key: KeyObject): KeyObject {
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits === undefined || bits >= minRsaBits) return key;
  const message = `The key of the token has ${bits} bits; an RSA key must have at least ${minRsaBits}`;
  throw new ChatError('UNAUTHENTICATED', { message });
}

/** What passport-jwt says of a token that does not hold, in our words. */
export function tokenRefusal(reason: unknown): ChatError {
  if (reason instanceof ChatError) return reason;
  const name = reason instanceof Error ? reason.name : '';
  if (name === 'TokenExpiredError') return new ChatError('TOKEN_EXPIRED');
  const message = reason instanceof Error ? `The token is refused: ${reason.message}` : undefined;
  return new ChatError('UNAUTHENTICATED', { message, cause: reason });
}

const longestToken = 16_384;

/** The token of an `Authorization` header. passport-jwt's own reading of it takes quadratic time. */
export function bearerOf(header: string | undefined): string | null {
  if (header === undefined || header.length > longestToken) return null;
  return /^Bearer +([^\s]+)$/i.exec(header)?.[1] ?? null;
}

interface TokenSettings {
  keys: Exclude<TokenKeys, { source: 'embedded' }>;
  audiences: Config['tokens']['audiences'];
  issuers: Config['tokens']['issuers'];
  isRevoked: (identity: Identity) => boolean;
}

/** The one verification of tokens, by passport-jwt, for REST, Socket.IO and `/chat` alike. */
export function tokenAuthenticator({ keys, audiences, issuers, isRevoked }: TokenSettings): Authenticator {
  const { algorithms, keyFor } = keySource(keys);
  const recheck = (identity: Identity) => {
    if (isRevoked(identity)) throw new ChatError('TOKEN_REVOKED');
  };
  const readableKeyFor = async (token: string) => {
    decodeJwt(token); // throws where the claims are no object, on which jsonwebtoken itself would stumble
    // RFC 7515, 4.1.11: who does not know what is critical refuses the token; jsonwebtoken does not look.
    if (decodeProtectedHeader(token).crit !== undefined) throw new Error('crit is not supported');
    return keyFor(token);
  };
  const strategy = new Strategy(
    {
      jwtFromRequest: (request) => bearerOf(request.headers.authorization),
      secretOrKeyProvider: (_request: unknown, token: string, give: GiveKey) => {
        readableKeyFor(token).then(
          (key) => give(null, key),
          (error) => give(error instanceof ChatError ? error : new ChatError('UNAUTHENTICATED', { cause: error })),
        );
      },
      algorithms: algorithms as ('HS256' | 'RS256' | 'ES256')[],
      ...(audiences && { audience: audiences }),
      ...(issuers && { issuer: issuers }),
    } as ConstructorParameters<typeof Strategy>[0],
    (payload: unknown, done: (error: unknown, identity?: Identity) => void) => {
      try {
        const identity = identityOf(payload);
        recheck(identity);
        done(null, identity);
      } catch (error) {
        done(error);
      }
    },
  );
  const verify = (token: unknown) =>
    new Promise<Identity>((resolve, reject) => {
      if (typeof token !== 'string' || token === '' || token.length > longestToken) {
        return reject(new ChatError('UNAUTHENTICATED', { field: 'token', message: 'must be a JWT' }));
      }
      // The strategy as passport itself would run it for a request.
      const attempt = Object.create(strategy) as Strategy & {
        success(identity: Identity): void;
        fail(reason: unknown): void;
        error(reason: unknown): void;
      };
      attempt.success = resolve;
      attempt.fail = (reason) => reject(tokenRefusal(reason));
      attempt.error = (reason) => reject(tokenRefusal(reason));
      attempt.authenticate({ headers: { authorization: `Bearer ${token}` } } as never);
    });
  return { strategy, recheck, verify: rememberingRecent(verify, recheck) };
}
