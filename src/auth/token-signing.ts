import type { KeyObject } from 'node:crypto';
import { SignJWT } from 'jose';
import type { Config } from '../config/config.ts';

interface TokenRequest {
  claims: { userUUID: string; entityUUID?: string; levelOnEntity: number; scope?: string };
  /** Undefined: for ever. */
  seconds: number | undefined;
}

interface SigningKey {
  key: KeyObject | Uint8Array;
  alg: string;
  kid?: string;
}

/** A token that the configuration accepts, where it knows the key. */
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
