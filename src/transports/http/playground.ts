import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Router } from 'express';
import { loadEmbeddedSecret, loadPlaygroundKey } from '../../auth/embedded-secret.ts';
import { signToken } from '../../auth/token-signing.ts';
import type { Config } from '../../config/config.ts';
import { isLoopback } from './loopback.ts';
import { createPlaygroundRoutes } from './playground.routes.ts';

/** The lifetime of the page's tokens. The page renews its token itself. */
const tokenSeconds = 3_600;

export interface Playground {
  routes: Router;
  /** Returns `#key=…`, which allows the page to get tokens, or an empty string. Call this after the server listens. */
  getFragment(): string;
}

/** Returns undefined if the playground is disabled. */
export function createPlayground(config: Config, http: Server): Playground | undefined {
  if (!config.playground) return undefined;
  // The page gets tokens only if this server generated the signing key and listens on a loopback address.
  const isOwnKey = config.tokens.keys.source === 'embedded';
  const secret = isOwnKey ? Buffer.from(loadEmbeddedSecret(config.dataDirectory)) : undefined;
  const key = isOwnKey ? loadPlaygroundKey(config.dataDirectory) : undefined;
  const isLocal = () => isLoopback((http.address() as AddressInfo | null)?.address ?? '');
  const routes = createPlaygroundRoutes({
    getTokenSigner: () => {
      if (!secret || !key || !isLocal()) return undefined;
      const signing = { key: secret, alg: 'HS256' };
      return { key, sign: (claims) => signToken({ claims, seconds: tokenSeconds }, signing, config) };
    },
  });
  return { routes, getFragment: () => (key && isLocal() ? `#key=${key}` : '') };
}
