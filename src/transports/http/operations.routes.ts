import { Router } from 'express';
import { isBearer } from './bearer-token.ts';

interface Operations {
  /** Throws where the database or a migration is missing. */
  assertReady: () => Promise<void>;
  metrics: { contentType: string; text: () => Promise<string> };
  hasMetrics: boolean;
  metricsToken: string | undefined;
  /** Whether the figures are shown without a token. Asked at each request: it depends on the address of the port. */
  isOpen: () => boolean;
}

/** For the balancer and the monitoring: no user token, no envelope. */
export function createOperationsRoutes({ assertReady, metrics, hasMetrics, metricsToken, isOpen }: Operations): Router {
  const routes = Router();

  routes.get('/healthz', (_request, response) => {
    response.type('text').send('ok\n');
  });

  routes.get('/readyz', async (_request, response) => {
    response.type('text');
    await assertReady().then(
      () => response.send('ready\n'),
      () => response.status(503).send('not ready\n'),
    );
  });

  if (hasMetrics) {
    routes.get('/metrics', async (request, response) => {
      const isAllowed = metricsToken ? isBearer(request.get('Authorization'), metricsToken) : isOpen();
      if (!isAllowed) {
        const hint = metricsToken ? '' : ': set METRICS_TOKEN, or METRICS_PORT for a port of its own';
        response.status(401).set({ 'WWW-Authenticate': 'Bearer', 'Cache-Control': 'no-store' });
        response.type('text').send(`a token is needed${hint}\n`);
        return;
      }
      response.type(metrics.contentType).send(await metrics.text());
    });
  }

  return routes;
}
