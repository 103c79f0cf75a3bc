import type { Request, RequestHandler } from 'express';
import passport from 'passport';
import type { Identity } from '../../auth/identity.ts';
import { type Authenticator, assertHeaderFits, toTokenError } from '../../auth/token-verification.ts';
import type { Actor } from '../../core/authorization.ts';

/** Authenticates with passport-jwt. Mount this before the body parser, so that only users can send large bodies. */
export function authenticateRequest({ strategy }: Authenticator): RequestHandler {
  const guard = new passport.Passport();
  guard.use('jwt', strategy);
  return (request, response, next) => {
    assertHeaderFits(request.headers.authorization);
    const onResult = (error: unknown, identity: Identity | false | null, reason: unknown) => {
      if (error || !identity) return next(toTokenError(error || reason));
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
