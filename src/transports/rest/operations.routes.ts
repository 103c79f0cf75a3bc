import { Router } from 'express';
import type { Registry } from 'prom-client';
import { isBearer } from './bearer.ts';

interface Operations {
  /** Throws where the database or a migration is missing. */
  ready: () => Promise<void>;
  registry: Registry;
  metrics: { served: boolean; token: string | undefined };
}

/** For the balancer and the monitoring: no user token, no envelope. */
export function operationsRoutes({ ready, registry, metrics }: Operations): Router {
  const routes = Router();

  routes.get('/healthz', (_request, response) => {
    response.type('text').send('ok\n');
  });

  routes.get('/readyz', async (_request, response) => {
    response.type('text');
    await ready().then(
      () => response.send('ready\n'),
      () => response.status(503).send('not ready\n'),
    );
  });

  if (metrics.served) {
    routes.get('/metrics', async (request, response) => {
      if (metrics.token && !isBearer(request.get('Authorization'), metrics.token)) {
        response.status(401).set('WWW-Authenticate', 'Bearer').type('text').send('a token is needed\n');
        return;
      }
      response.type(registry.contentType).send(await registry.metrics());
    });
  }

  return routes;
}
