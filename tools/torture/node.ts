/**
 * A node as an app would embed it. It has a consumer of all changes, which passes them on to the run, so that both have
 * the promise of a webhook.
 */
import cluster from 'node:cluster';
import { WorkerLink } from '../../src/cluster/worker-link.ts';
import { readConfig } from '../../src/config/config.ts';
import { createLogger } from '../../src/observability/logger.ts';
import { startServer } from '../../src/server.ts';
import { startPrimary } from '../../src/workers/primary.ts';
import { toWorkerConfig } from '../../src/workers/worker-config.ts';

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

process.once('SIGTERM', () => void drain?.());

let drain: (() => unknown) | undefined;

const exitAfter = (draining: Promise<boolean>) =>
  draining.then(
    (inTime) => exit(inTime ? 0 : 1),
    () => exit(1),
  );

async function failToStart(error: unknown): Promise<never> {
  logger.warn({ err: error }, 'the node could not start');
  return exit(1);
}

if (config.workers > 1 && cluster.isPrimary) {
  const primary = await startPrimary({ config, workerFile: import.meta.filename, logger }).catch(failToStart);
  drain = () => exitAfter(primary.drain());
} else {
  await serve();
}

/** Serves as the only process, or as a worker. */
async function serve(): Promise<void> {
  const [slot, count] = process.argv.slice(2).map(Number) as [number, number];
  const link = cluster.worker ? new WorkerLink({ id: cluster.worker.id, slot, count }) : undefined;
  link?.answer('drain', () => drain?.());
  const own = link ? toWorkerConfig(config, count) : config;
  const server = await startServer(own, { logger, link, onFailure: () => void exit(1) }).catch(failToStart);
  drain = () => exitAfter(server.drain());
  if (!consumerUrl) return;
  await server.on('changes', { name: 'consumer' }, async (payload) => {
    const init = { method: 'POST', body: JSON.stringify(payload), signal: AbortSignal.timeout(consumerMs) };
    const { ok, status } = await fetch(consumerUrl, init);
    if (!ok) throw Object.assign(new Error(`the run answered ${status}`), { status });
  });
}
