import type { Server as HttpServer } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { ConfigError, readConfig } from './config/config.ts';
import type { environment, FileSetting } from './config/environment.ts';
import { assertNodeVersion } from './config/node-version.ts';
import type { RunningServer } from './server.ts';

export { ConfigError } from './config/config.ts';
/** The error of the calls of `server.admin`. Its `code` is one of the error codes in docs/protocol/errors.md. */
export { ChatError, type ErrorCode } from './core/errors.ts';
export type { ChangesListener, Consumer, ConsumerOptions } from './features/webhooks/consumer.ts';
export type { WebhookChange, WebhookPayload, WebhookRoom } from './features/webhooks/payload.ts';

/**
 * The settings of the service. The keys are the names of the environment variables in docs/operations/settings.md. You
 * can also pass all environment variables of the process.
 */
export type Settings = {
  readonly [N in keyof z.input<typeof environment> | FileSetting]?: string | number | undefined;
};

/**
 * Settings that must not be passed as `undefined`. This is certainly a mistake, such as a missing variable, and without
 * the setting the service would use other data or be open to everybody.
 */
const neverUndefined = /^(JWT_|ADMIN_TOKEN|METRICS_TOKEN|DATABASE_URL|REDIS_URL)/;

export interface ServerOptions {
  /**
   * Only these settings are used. The environment of the process is not read, because your program may use variables
   * such as `DATABASE_URL` for something else. Without any settings, the service uses the embedded database, with its
   * data in `./.data`.
   */
  settings?: Settings;
  /** Serves on this server, below `prefix`, instead of listening on `HOST` and `PORT`. */
  server?: HttpServer | HttpsServer;
  /**
   * The path below which the service is mounted, such as `/messaging`. Requests below it never reach the other
   * listeners of the server, such as an Express app.
   */
  prefix?: string;
  /** Without a logger, the service logs JSON to standard output. */
  logger?: Logger;
}

/** A running service; clients connect to its `url`. */
export type ChatServer = RunningServer;

/**
 * Starts the service inside this program. Rejects with a `ConfigError` that lists all mistakes in the settings, or with
 * an error that explains why the database is unavailable.
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
      missing.map(([name]) => `${name}: is undefined; give it a value, or remove it from the settings`),
    );
  }
  const config = readConfig(Object.fromEntries(given));
  if (config.workers > 1) {
    throw new ConfigError(['WORKERS: a service inside another program is one process; only `start` starts workers']);
  }
  const mount = server && prefix !== undefined ? { server, prefix } : undefined;
  assertNodeVersion();
  // The server is not imported at the top of this file. There, an old Node.js would fail with a SyntaxError before the
  // version is checked.
  const { startServer } = await import('./server.ts');
  return startServer(config, { ...(logger && { logger }), mount });
}
