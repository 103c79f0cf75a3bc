import type { Server as HttpServer } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { ConfigError, readConfig } from './config/config.ts';
import { assertNodeVersion } from './config/node-version.ts';
import type { environment, FileSetting } from './config/settings.ts';
import type { RunningServer } from './server.ts';

export { ConfigError } from './config/config.ts';

/** Settings by their names in the environment (docs/operations/settings.md); the environment of the process can be passed as it is. */
export type Settings = {
  readonly [N in keyof z.input<typeof environment> | FileSetting]?: string | number | undefined;
};

/** If one of these is missing, the service uses other data or is open, so `undefined` is certainly a mistake. */
const neverUndefined = /^(JWT_|ADMIN_TOKEN|METRICS_TOKEN|DATABASE_URL|REDIS_URL)/;

export interface ServerOptions {
  /**
   * The environment of the process is not read, because the program may have a different `DATABASE_URL` there. Without
   * any settings the service is embedded, with its data in `./.data`.
   */
  settings?: Settings;
  /** Serves on this server, below `prefix`, instead of on `HOST` and `PORT`. */
  server?: HttpServer | HttpsServer;
  /** `/messaging`: requests below it never reach the listeners of the server, such as an Express app. */
  prefix?: string;
  /** By default the service logs JSON on the standard output. */
  logger?: Logger;
}

/** A running service; clients connect to its `url`. */
export type ChatServer = RunningServer;

/**
 * Starts the service inside this program. Rejects with a `ConfigError` that names every wrong setting, or with the reason
 * why the database is unavailable.
 */
export async function createServer({ settings = {}, server, prefix, logger }: ServerOptions = {}): Promise<ChatServer> {
  if ((server === undefined) !== (prefix === undefined)) {
    throw new TypeError('server and prefix belong together: give both, or neither');
  }
  if (prefix !== undefined && !/^(\/[A-Za-z0-9._~-]+)+$/.test(prefix)) {
    throw new TypeError(`prefix must be a path such as /messaging, without a slash at its end, not ${prefix}`);
  }
  const given = Object.entries(settings).map(([name, value]) => [name, value?.toString()] as const);
  const missing = given.filter(([name, value]) => value === undefined && neverUndefined.test(name));
  if (missing.length > 0) {
    throw new ConfigError(
      missing.map(([name]) => `${name}: is given as undefined; give it a value, or leave the name out`),
    );
  }
  const config = readConfig(Object.fromEntries(given));
  const mount = server && prefix !== undefined ? { server, prefix } : undefined;
  assertNodeVersion();
  // Not at the top: an old Node.js fails to link it, with a SyntaxError.
  const { startServer } = await import('./server.ts');
  return startServer(config, { ...(logger && { logger }), mount });
}
