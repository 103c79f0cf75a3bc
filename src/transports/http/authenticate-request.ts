import type { Request, RequestHandler } from 'express';
import passport from 'passport';
import type { Identity } from '../../auth/identity.ts';
import { type Authenticator, assertHeaderFits, parseBearer, toTokenError } from '../../auth/token-verification.ts';
import type { Actor } from '../../core/authorization.ts';

/**
 * Authenticates with passport-jwt, unless the same token was verified a short time ago. Mount this before the body
 * parser, so that only users can send large bodies.
 */
export function authenticateRequest({ strategy, cache }: Authenticator): RequestHandler {
  const guard = new passport.Passport();
  guard.use('jwt', strategy);
  return (request, response, next) => {
    assertHeaderFits(request.headers.authorization);
    const token = parseBearer(request.headers.authorization);
    const cached = cache.find(token);
    if (cached) {
      request.user = cached;
      return next();
    }
    const onResult = (error: unknown, identity: Identity | false | null, reason: unknown) => {
      if (error || !identity) return next(toTokenError(error || reason));
      cache.add(token, identity);
      request.user = identity;
      next();
    };
    guard.authenticate('jwt', { session: false }, onResult)(request, response, next);
  };
}

/** Checks again that the token is not revoked. Mount this after the body parser: receiving a body may take minutes. */
export function recheckRequest({ recheck }: Authenticator): RequestHandler {
  return (request, _response, next) => {
    recheck(request.user as Identity);
    next();
  };
}

export function getActor(request: Request): Actor {
  return (request.user as Identity).actor;
}
