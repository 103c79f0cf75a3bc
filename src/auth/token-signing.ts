import type { KeyObject } from 'node:crypto';
import { SignJWT } from 'jose';
import type { Config } from '../config/config.ts';

interface TokenRequest {
  claims: { userUUID: string; entityUUID?: string; levelOnEntity: number; scope?: string };
  /** The lifetime of the token; undefined if it never expires. */
  seconds: number | undefined;
}

export interface SigningKey {
  key: KeyObject | Uint8Array;
  alg: string;
  kid?: string;
}

interface Registered {
  audience?: string | undefined;
  issuer?: string | undefined;
  /** The id of the token, which revokes this token alone. */
  jti?: string | undefined;
}

export function signClaims(
  { claims, seconds, audience, issuer, jti }: TokenRequest & Registered,
  { key, alg, kid }: SigningKey,
): Promise<string> {
  const token = new SignJWT({ ...claims })
    .setProtectedHeader({ alg, typ: 'JWT', ...(kid && { kid }) })
    .setSubject(claims.userUUID)
    .setIssuedAt();
  if (seconds !== undefined) token.setExpirationTime(`${seconds} s`);
  if (audience !== undefined) token.setAudience(audience);
  if (issuer !== undefined) token.setIssuer(issuer);
  if (jti !== undefined) token.setJti(jti);
  return token.sign(key);
}

/** Signs a token with an audience and issuer that the configuration accepts. The configuration must trust the key. */
export const signToken = (request: TokenRequest, key: SigningKey, { tokens }: Config): Promise<string> =>
  signClaims({ ...request, audience: tokens.audiences?.[0], issuer: tokens.issuers?.[0] }, key);
