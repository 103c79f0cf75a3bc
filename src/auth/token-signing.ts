import type { KeyObject } from 'node:crypto';
import { SignJWT } from 'jose';
import type { Config } from '../config/config.ts';

interface TokenRequest {
  claims: { userUUID: string; entityUUID?: string; levelOnEntity: number; scope?: string };
  /** The lifetime of the token; undefined if it never expires. */
  seconds: number | undefined;
}

interface SigningKey {
  key: KeyObject | Uint8Array;
  alg: string;
  kid?: string;
}

/** Signs a token with an audience and issuer that the configuration accepts. The configuration must trust the key. */
export function signToken({ claims, seconds }: TokenRequest, { key, alg, kid }: SigningKey, { tokens }: Config) {
  const token = new SignJWT({ ...claims })
    .setProtectedHeader({ alg, typ: 'JWT', ...(kid && { kid }) })
    .setSubject(claims.userUUID)
    .setIssuedAt();
  if (seconds !== undefined) token.setExpirationTime(`${seconds} s`);
  if (tokens.audiences) token.setAudience(tokens.audiences[0]!);
  if (tokens.issuers) token.setIssuer(tokens.issuers[0]!);
  return token.sign(key);
}
