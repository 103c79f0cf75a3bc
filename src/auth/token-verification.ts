import { createSecretKey, type KeyObject } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader, errors as joseErrors, jwtVerify } from 'jose';
import { LRUCache } from 'lru-cache';
import { Strategy } from 'passport-jwt';
import { z } from 'zod';
import type { Config, TokenKeys } from '../config/config.ts';
import type { Actor } from '../core/authorization.ts';
import { ChatError } from '../core/errors.ts';
import { nilUuid, Uuid } from '../core/ids.ts';
import type { Identity } from './identity.ts';
import type { KeySet } from './key-set.ts';
import { cacheVerification, createTokenCache, type TokenCache } from './token-cache.ts';

export interface Authenticator {
  /**
   * Throws `UNAUTHENTICATED`, `TOKEN_EXPIRED` or `TOKEN_REVOKED` if the token is not valid, and `UNAVAILABLE` if the keys
   * cannot be fetched.
   */
  verify(token: unknown): Promise<Identity>;
  /** Throws `TOKEN_REVOKED` if the token was revoked after its verification. */
  recheck(identity: Identity): void;
  /** The strategy that passport runs for REST requests. `verify` runs the same strategy. */
  strategy: Strategy;
  /** Shared by REST requests and `verify`. */
  cache: TokenCache;
}

const level = z
  .union([z.int(), z.string().regex(/^-?[0-9]{1,15}$/)], { error: 'must be an integer, or its digits in a string' })
  .transform(Number);

/**
 * A time at or above this number is probably in milliseconds. The number itself means the year 33658 in seconds and the
 * year 2001 in milliseconds, and no valid token has either date.
 */
const firstMilliseconds = 1e12;

const seconds = z
  .number({ error: 'must be a number: seconds since 1970' })
  .refine((time) => time < firstMilliseconds, 'must be in seconds since 1970, but looks like milliseconds');

/**
 * A number becomes a string, because revocations compare strings. Larger integers are rejected: JavaScript would round
 * them, and a revocation would not match.
 */
const jti = z
  .union([z.string(), z.int().transform(String)], { error: 'must be a string, or a whole number up to 2^53-1' })
  .nullish();

const Claims = z.object({
  userUUID: z.unknown().optional(),
  sub: z.unknown().optional(),
  entityUUID: Uuid.nullish(),
  levelOnEntity: level.nullish(),
  exp: seconds.optional(),
  nbf: seconds.optional(),
  iat: z.preprocess((iat) => (typeof iat === 'number' ? iat : 0), seconds).optional(),
  jti,
  scope: z.unknown().optional(),
});

/** How far the issuer's clock may be ahead of this node's clock when `nbf` is checked. */
const notBeforeLeewaySeconds = 10;
/**
 * How far in the future `iat` may be. The leeway is large, because `iat` is not the start of a token's validity. It has
 * a limit, because a revocation of all tokens issued until now would miss a token with an `iat` in the future.
 */
const issuedAtLeewaySeconds = 300;

/** Throws an error with `retryAfterMs` if the token becomes valid later: the client can retry with the same token. */
function assertAlreadyValid({ nbf, iat }: { nbf: number; iat: number }): void {
  const now = Date.now() / 1_000;
  const times = [
    ['nbf', nbf - notBeforeLeewaySeconds],
    ['iat', iat - issuedAtLeewaySeconds],
  ] as const;
  for (const [field, from] of times) {
    if (from <= now) continue;
    const waitSeconds = Math.ceil(from - now);
    throw new ChatError('UNAUTHENTICATED', {
      field,
      message: `The token is not valid yet: it is accepted in ${waitSeconds} s by the clock of this server`,
      retryAfterMs: waitSeconds * 1_000,
    });
  }
}

const sharedStrings = new LRUCache<string, string>({ max: 4_096 });

/** Returns an equal string. The connections of an organisation then keep one string in memory, and not one each. */
function shareString(text: string): string {
  const shared = sharedStrings.get(text);
  if (shared === undefined) sharedStrings.set(text, text);
  return shared ?? text;
}

function parseIdentity(payload: unknown): Identity {
  const claims = Claims.safeParse(payload);
  if (!claims.success) {
    const issue = claims.error.issues[0];
    throw new ChatError('UNAUTHENTICATED', { field: issue?.path.join('.'), message: issue?.message });
  }
  const { userUUID, sub, entityUUID, levelOnEntity, exp, nbf = 0, iat = 0, jti, scope } = claims.data;
  const user = Uuid.safeParse(userUUID ?? sub);
  if (!user.success)
    throw new ChatError('UNAUTHENTICATED', { field: 'userUUID', message: user.error.issues[0]!.message });
  if (user.data === nilUuid) {
    throw new ChatError('UNAUTHENTICATED', {
      field: 'userUUID',
      message: 'must not be the nil UUID, which is the service',
    });
  }
  assertAlreadyValid({ nbf, iat });
  const scopes = typeof scope === 'string' ? scope.split(' ') : [];
  const actor: Actor = {
    user: user.data,
    entity: entityUUID ? shareString(entityUUID) : null,
    level: levelOnEntity ?? 0,
    mayCreateRooms: scopes.includes('rooms:create'),
  };
  if (scopes.includes('receipts:hidden')) actor.hidesReceipts = true;
  if (scopes.includes('presence:hidden')) actor.hidesPresence = true;
  return {
    actor,
    issuedAt: iat,
    expiresAt: exp ?? null,
    jti: jti ?? null,
  };
}

/** Either fixed keys from the configuration, or the key set that an issuer publishes. */
export type VerificationKeys =
  | Extract<TokenKeys, { source: 'secrets' | 'public_key' }>
  | { source: 'jwks'; keySet: Pick<KeySet, 'findKey'> };

type KeyCallback = (error: unknown, key?: KeyObject) => void;

/** Returns how to find the key for a token, and the algorithms that passport-jwt then accepts for the signature. */
function createKeySource(keys: VerificationKeys) {
  switch (keys.source) {
    case 'secrets':
      return { algorithms: ['HS256'], keyFor: createSecretLookup(keys.secrets) };
    case 'public_key':
      return { algorithms: [keys.algorithm], keyFor: async () => keys.key };
    case 'jwks':
      return { algorithms: ['RS256', 'ES256'], keyFor: createKeySetLookup(keys.keySet) };
  }
}

/**
 * Finds the secret that a token was signed with. There are several secrets during a rotation. If none fits, returns the
 * first, and the verification fails. The secrets become key objects, because jsonwebtoken would try to parse a string
 * as a PEM file each time.
 */
function createSecretLookup(secrets: readonly string[]) {
  const keys = secrets.map((secret) => createSecretKey(Buffer.from(secret)));
  return async (token: string) => {
    if (keys.length === 1) return keys[0]!;
    for (const key of keys) {
      const isSignedWithIt = await jwtVerify(token, key, { algorithms: ['HS256'] }).then(
        () => true,
        (error) => error instanceof joseErrors.JWTExpired || error instanceof joseErrors.JWTClaimValidationFailed,
      );
      if (isSignedWithIt) return key;
    }
    return keys[0]!;
  };
}

function createKeySetLookup(keySet: Pick<KeySet, 'findKey'>) {
  return async (token: string) => {
    const header = decodeProtectedHeader(token);
    const { alg } = header;
    if (alg !== 'RS256' && alg !== 'ES256') {
      throw new ChatError('UNAUTHENTICATED', { message: 'The alg of the token must be RS256 or ES256' });
    }
    return keySet.findKey({ ...header, alg });
  };
}

/** Translates the reason with which passport-jwt rejects a token. */
export function toTokenError(reason: unknown): ChatError {
  if (reason instanceof ChatError) return reason;
  const name = reason instanceof Error ? reason.name : '';
  if (name === 'TokenExpiredError') return new ChatError('TOKEN_EXPIRED');
  const message = reason instanceof Error ? `The token is rejected: ${reason.message}` : undefined;
  return new ChatError('UNAUTHENTICATED', { message, cause: reason });
}

/** A token must fit into the largest frame that every transport accepts from clients without a token. */
export const maxTokenLength = 4_000;

export const createMissingTokenError = () =>
  new ChatError('UNAUTHENTICATED', {
    field: 'token',
    message: `must be a JWT of at most ${maxTokenLength} characters`,
  });

const maxHeaderLength = 'Bearer '.length + maxTokenLength;

/** Throws an error for a header that is too long. Without this check, passport-jwt would report a missing token. */
export function assertHeaderFits(header: string | undefined): void {
  if (header !== undefined && header.length > maxHeaderLength) throw createMissingTokenError();
}

/** Returns the token of an `Authorization` header. The parser of passport-jwt is not used: it takes quadratic time. */
export function parseBearer(header: string | undefined): string | null {
  if (header === undefined || header.length > maxHeaderLength) return null;
  return /^Bearer +([^\s]+)$/i.exec(header)?.[1] ?? null;
}

/**
 * Removes the prefix `Bearer`. Many client libraries send the whole header value as the token. A JWT contains no
 * spaces, so the prefix cannot be part of it.
 */
const stripScheme = (token: string) => token.replace(/^Bearer +/i, '');

interface TokenSettings {
  keys: VerificationKeys;
  audiences: Config['tokens']['audiences'];
  issuers: Config['tokens']['issuers'];
  isRevoked: (identity: Identity) => boolean;
  /** Called for each token whose signature has been verified. */
  onVerified?: (identity: Identity) => void;
}

/** Creates the authenticator that REST, Socket.IO and `/chat` share. It is based on passport-jwt. */
export function createAuthenticator({ keys, audiences, issuers, isRevoked, onVerified }: TokenSettings): Authenticator {
  const { algorithms, keyFor } = createKeySource(keys);
  const recheck = (identity: Identity) => {
    if (isRevoked(identity)) throw new ChatError('TOKEN_REVOKED');
  };
  const readableKeyFor = async (token: string) => {
    // Throws an error if the claims are not an object. jsonwebtoken does not handle that case.
    decodeJwt(token);
    // RFC 7515, 4.1.11: a token with a critical extension that the server does not support must be rejected.
    // jsonwebtoken ignores `crit`.
    if (decodeProtectedHeader(token).crit !== undefined) throw new Error('crit is not supported');
    return keyFor(token);
  };
  const strategy = new Strategy(
    {
      jwtFromRequest: (request) => parseBearer(request.headers.authorization),
      secretOrKeyProvider: (_request: unknown, token: string, callback: KeyCallback) => {
        readableKeyFor(token).then(
          (key) => callback(null, key),
          (error) => callback(error instanceof ChatError ? error : new ChatError('UNAUTHENTICATED', { cause: error })),
        );
      },
      algorithms: algorithms as ('HS256' | 'RS256' | 'ES256')[],
      ...(audiences && { audience: audiences }),
      ...(issuers && { issuer: issuers }),
      // `parseIdentity` checks `nbf`: it allows a leeway, which jsonwebtoken would apply to `exp` as well.
      jsonWebTokenOptions: { ignoreNotBefore: true },
    } as ConstructorParameters<typeof Strategy>[0],
    (payload: unknown, done: (error: unknown, identity?: Identity) => void) => {
      try {
        const identity = parseIdentity(payload);
        recheck(identity);
        onVerified?.(identity);
        done(null, identity);
      } catch (error) {
        done(error);
      }
    },
  );
  const verify = (given: unknown) =>
    new Promise<Identity>((resolve, reject) => {
      const token = typeof given === 'string' ? stripScheme(given) : given;
      if (typeof token !== 'string' || token === '' || token.length > maxTokenLength) {
        return reject(createMissingTokenError());
      }
      // Runs the strategy in the way that passport runs it for a request.
      const attempt = Object.create(strategy) as Strategy & {
        success(identity: Identity): void;
        fail(reason: unknown): void;
        error(reason: unknown): void;
      };
      attempt.success = resolve;
      attempt.fail = (reason) => reject(toTokenError(reason));
      attempt.error = (reason) => reject(toTokenError(reason));
      attempt.authenticate({ headers: { authorization: `Bearer ${token}` } } as never);
    });
  const cache = createTokenCache(recheck);
  return { strategy, recheck, cache, verify: cacheVerification(verify, cache) };
}
