import { createServer as createHttpServer } from 'node:http';
import { createServer, type Settings } from '../../src/index.ts';
import { closeLater } from './cleanup.ts';
import { freshDatabase } from './postgres.ts';
import { testSecret } from './users.ts';

/** Mounts a node below `/messaging` on the server of an app, which answers all other requests with `the app`. */
export async function startMountedNode(more: Settings = {}): Promise<{ url: string; appUrl: string }> {
  const server = createHttpServer((_request, response) => response.end('the app'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeLater(() => server.close());
  const settings = { DATABASE_URL: await freshDatabase(), JWT_SECRET: testSecret, LOG_LEVEL: 'silent', ...more };
  const node = await createServer({ server, prefix: '/messaging', settings });
  closeLater(() => node.close());
  return { url: node.url, appUrl: new URL(node.url).origin };
}
