import express, { type RequestHandler, Router } from 'express';
import { ChatError, parse } from '../../protocol/errors.ts';
import { revocationRoutes } from '../../protocol/rest/revocations.ts';
import { parseNoticing } from '../../protocol/unknown-keys.ts';
import type { Revocations } from '../../rooms/revocations.ts';
import { isBearer } from './bearer.ts';
import { answer } from './envelope.ts';
import { noSuchRoute } from './error-handler.ts';

interface Administration {
  /** Who brings it is the product's own backend. */
  token: string;
  revocations: Revocations;
  bodyBytes: number;
}

/** All of `/admin`: what is no route ends here, too, so that nothing below it gets the headers that browsers ask for. */
export function adminRoutes({ token, revocations, bodyBytes }: Administration): Router {
  const routes = Router();
  routes.use(demandToken(token), express.json({ limit: bodyBytes || Number.MAX_SAFE_INTEGER }));

  routes.post('/revocations', async (request, response) => {
    const { data, ignored } = parseNoticing(revocationRoutes.createRevocation.body.schema, request.body);
    const { revocation, created } = await revocations.revoke(data);
    answer(response, revocation, { code: created ? 201 : 200, ignored });
  });

  routes.get('/revocations', async (request, response) => {
    const { revocations: page, has_more } = await revocations.list(
      parseNoticing(revocationRoutes.listRevocations.query, request.query).data,
    );
    answer(response, page, { has_more });
  });

  routes.delete('/revocations/:id', async (request, response) => {
    await revocations.lift(parse(revocationRoutes.liftRevocation.params, request.params).id);
    answer(response, null);
  });

  routes.use(noSuchRoute);
  return routes;
}

function demandToken(token: string): RequestHandler {
  return (request, _response, next) => {
    if (!isBearer(request.get('Authorization'), token)) throw new ChatError('UNAUTHENTICATED');
    next();
  };
}
