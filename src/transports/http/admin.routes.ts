import { type RequestHandler, Router } from 'express';
import { ChatError, parse } from '../../core/errors.ts';
import { parseWithIgnored } from '../../core/unknown-keys.ts';
import type { Revocations } from '../../features/revocations/revocations.ts';
import { revocationRoutes } from '../../protocol/rest/revocations.ts';
import { isBearer } from './bearer-token.ts';
import { answer } from './envelope.ts';
import { rejectUnknownRoute } from './error-handler.ts';
import { parseJsonBody } from './json-body.ts';

/** What was done with the token, for the operator's log. Never a token, nor a `jti`. */
export interface AdminAudit {
  revoked(fields: {
    revocation: number;
    userUUID: string | null;
    issued_before: number | null;
    created: boolean;
  }): void;
  lifted(fields: { revocation: number }): void;
  /** A request without the token, or with another one. */
  refused(address: string | undefined): void;
}

interface Administration {
  /** Who brings it is the product's own backend. */
  token: string;
  revocations: Revocations;
  audit: AdminAudit;
  bodyBytes: number;
}

/** All of `/admin`: what is no route ends here, too, so that nothing below it gets the headers that browsers ask for. */
export function createAdminRoutes({ token, revocations, audit, bodyBytes }: Administration): Router {
  const routes = Router();
  routes.use(requireToken(token, audit), parseJsonBody(bodyBytes));

  routes.post('/revocations', async (request, response) => {
    const { data, ignored } = parseWithIgnored(revocationRoutes.createRevocation.body.schema, request.body);
    const { revocation, created } = await revocations.revoke(data);
    const { id, userUUID, issued_before } = revocation;
    audit.revoked({ revocation: id, userUUID, issued_before, created });
    answer(response, revocation, { code: created ? 201 : 200, ignored });
  });

  routes.get('/revocations', async (request, response) => {
    const { revocations: page, has_more } = await revocations.list(
      parseWithIgnored(revocationRoutes.listRevocations.query, request.query).data,
    );
    answer(response, page, { has_more });
  });

  routes.delete('/revocations/:id', async (request, response) => {
    const { id } = parse(revocationRoutes.liftRevocation.params, request.params);
    await revocations.lift(id);
    audit.lifted({ revocation: id });
    answer(response, null);
  });

  routes.use(rejectUnknownRoute);
  return routes;
}

function requireToken(token: string, { refused }: Pick<AdminAudit, 'refused'>): RequestHandler {
  return (request, _response, next) => {
    if (isBearer(request.get('Authorization'), token)) return next();
    refused(request.socket.remoteAddress);
    throw new ChatError('UNAUTHENTICATED');
  };
}
