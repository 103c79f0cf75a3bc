import type { Server as HttpServer } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { ConfigError, readConfig } from './config/config.ts';
import { assertNodeVersion } from './config/node-version.ts';
import type { environment, FileSetting } from './config/settings.ts';
import type { RunningServer } from './server.ts';

export { ConfigError } from './config/config.ts';

/**
 * Settings, with their names in the environment as keys (docs/operations/settings.md). You can also pass the whole environment
 * as it is.
 */
export type Settings = {
  readonly [N in keyof z.input<typeof environment> | FileSetting]?: string | number | undefined;
};

/**
 * Without one of these settings, the service would use other data or be open to others. So if one is passed as
 * `undefined`, that is certainly a mistake.
 */
const neverUndefined = /^(JWT_|ADMIN_TOKEN|METRICS_TOKEN|DATABASE_URL|REDIS_URL)/;

export interface ServerOptions {
  /**
   * Only these settings are used. The environment of the process is not read, because your program may use a different
   * `DATABASE_URL` there. Without any settings the service uses the embedded database, with its data in `./.data`.
   */
  settings?: Settings;
  /** The service uses this server, below `prefix`, instead of listening on `HOST` and `PORT`. */
  server?: HttpServer | HttpsServer;
  /**
   * The path below which the service is mounted, such as `/messaging`. Requests below it never reach the other
   * listeners of the server, such as an Express app.
   */
  prefix?: string;
  /** Without a logger the service logs JSON to standard output. */
  logger?: Logger;
}

/** A running service; clients connect to its `url`. */
export type ChatServer = RunningServer;

/**
 * Starts the service inside this program. Rejects with a `ConfigError` that names every wrong setting, or with an error
 * that says why the database is unavailable.
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
  // This import is not at the top, because an old Node.js would fail to load the file with a SyntaxError, before the
  // version is checked.
  const { startServer } = await import('./server.ts');
  return startServer(config, { ...(logger && { logger }), mount });
}
