import { createHmac, createSign, type KeyObject, randomUUID } from 'node:crypto';

/** The secret with which the nodes of the test suite verify tokens. */
export const testSecret = 'the secret of the tests and known to nobody else';

/** The token with which the product's backend administers the nodes of the test suite. */
export const adminToken = 'the-administrator-of-the-tests-and-of-nothing-else';

/** Far in the future, because expiry does not matter to the test. */
const farFuture = 21_475_878_357;

export interface Claims {
  [name: string]: unknown;
}

interface SignOptions {
  header?: Record<string, unknown>;
  /** An HMAC secret, or a private key. */
  secret?: string | KeyObject;
  alg?: 'HS256' | 'HS384' | 'HS512' | 'RS256' | 'ES256' | 'none';
}

const base64url = (part: unknown) => Buffer.from(JSON.stringify(part)).toString('base64url');

/** Signs a JWT without a library, so that a test can create invalid tokens. */
export function sign(payload: unknown, { header = {}, secret = testSecret, alg = 'HS256' }: SignOptions = {}): string {
  const signed = `${base64url({ alg, typ: 'JWT', ...header })}.${base64url(payload)}`;
  return `${signed}.${createSignature(signed, secret, alg)}`;
}

function createSignature(text: string, secret: string | KeyObject, alg: NonNullable<SignOptions['alg']>): string {
  if (alg === 'none') return '';
  if (alg.startsWith('HS'))
    return createHmac(`sha${alg.slice(2)}`, secret)
      .update(text)
      .digest('base64url');
  const key = { key: secret as KeyObject, dsaEncoding: 'ieee-p1363' as const };
  return createSign('sha256').update(text).sign(key, 'base64url');
}

export interface TestUser {
  user: string;
  entity: string;
  level: number;
  claims: Claims;
  token: string;
}

interface UserOptions extends Claims {
  user?: string;
  entity?: string;
  level?: number;
}

/** Creates a new user in their own organisation, unless the options name another. Claims can be added. */
export function createUser({
  user = randomUUID(),
  entity = randomUUID(),
  level = 0,
  ...more
}: UserOptions = {}): TestUser {
  const claims = { userUUID: user, entityUUID: entity, levelOnEntity: level, exp: farFuture, ...more };
  return { user, entity, level, claims, token: sign(claims) };
}

/** The same user with other claims, such as another level, another organisation or an earlier expiry. */
export function withClaims({ claims }: TestUser, more: Claims): TestUser {
  const { userUUID, entityUUID, levelOnEntity, ...others } = { ...claims, ...more } as Claims & {
    userUUID: string;
    entityUUID: string;
    levelOnEntity: number;
  };
  return createUser({ ...others, user: userUUID, entity: entityUUID, level: levelOnEntity });
}

export function hasExpired(token: string): boolean {
  const { exp } = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as { exp: number };
  return exp * 1_000 <= Date.now();
}
