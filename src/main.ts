import { ConfigError, readConfig } from './config.ts';
import { createLogger } from './logger.ts';

/** What a person at the terminal needs to know when it does not start; the rest is in the log. */
function fail(error: unknown): never {
  const text = error instanceof ConfigError ? error.message : `nano-messaging could not start: ${messageOf(error)}`;
  process.stderr.write(`${text}\n`);
  process.exit(1);
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error ? `${error.message} (${messageOf(cause)})` : error.message || error.name;
}

const sameKeypressMs = 300;

async function main(): Promise<void> {
  const config = readConfig(process.env);
  const logger = createLogger(config.logLevel);
  // Nothing that comes in may end the process; what gets this far is a defect, and is said.
  process.on('unhandledRejection', (error) => logger.fatal({ err: error }, 'unhandled rejection'));
  process.on('uncaughtException', (error) => logger.fatal({ err: error }, 'uncaught exception'));
  // Not before: whoever has set something wrong hears of it at once.
  const { startServer } = await import('./server.ts');
  // The log has the reason.
  const server = await startServer(config, { logger, onFailure: () => process.exit(1) });
  const { url, playgroundUrl } = server;
  logger.info({ url, database: config.database.mode, playgroundUrl }, `listening on ${url}`);

  let drainingSince: number | undefined;
  const stop = (signal: NodeJS.Signals) => {
    // Ctrl-C reaches us twice under npm: from the terminal and from npm.
    if (signal === 'SIGINT' && drainingSince !== undefined && Date.now() - drainingSince < sameKeypressMs) return;
    if (drainingSince !== undefined) process.exit(1);
    drainingSince = Date.now();
    logger.info({ signal }, 'draining');
    server.drain().then(
      (inTime) => process.exit(inTime ? 0 : 1),
      () => process.exit(1),
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

main().catch(fail);
