/**
 * A node as an app would embed it. It has a consumer of all changes, which passes them on to the run, so that both have
 * the promise of a webhook.
 */
import { readConfig } from '../../src/config/config.ts';
import { createLogger } from '../../src/observability/logger.ts';
import { startServer } from '../../src/server.ts';

const { TORTURE_CONSUMER: consumerUrl, ...settings } = process.env;
const consumerMs = 5_000;

const config = readConfig(settings);
const log = createLogger(config.logLevel, config.logFormat);
const { logger } = log;
process.on('unhandledRejection', (error) => logger.fatal({ err: error }, 'unhandled rejection'));
process.on('uncaughtException', (error) => logger.fatal({ err: error }, 'uncaught exception'));

async function exit(code: number): Promise<never> {
  await log.flush(500);
  process.exit(code);
}

const server = await startServer(config, { logger, onFailure: () => void exit(1) }).catch((error: unknown) => {
  logger.warn({ err: error }, 'the node could not start');
  return exit(1);
});
process.once('SIGTERM', () => {
  server.drain().then(
    (inTime) => exit(inTime ? 0 : 1),
    () => exit(1),
  );
});
if (consumerUrl) {
  await server.on('changes', { name: 'consumer' }, async (payload) => {
    const init = { method: 'POST', body: JSON.stringify(payload), signal: AbortSignal.timeout(consumerMs) };
    const { ok, status } = await fetch(consumerUrl, init);
    if (!ok) throw Object.assign(new Error(`the run answered ${status}`), { status });
  });
}
