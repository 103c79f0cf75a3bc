import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { type Config, readConfig } from '../config/config.ts';
import { isForPeople } from '../observability/logger.ts';
import type { RunningServer } from '../server.ts';
import { mayRun } from './command-line.ts';
import { drainOnSignal, exit, fail, handleSignals, isStopping, openLog, writeToTerminal } from './process-lifecycle.ts';
import { formatSettings } from './settings-help.ts';

/** This process serves alone, or it is the primary of several workers. */
type Started = Pick<RunningServer, 'url' | 'playgroundUrl' | 'drain'>;

const formatUsage = () => `nano-messaging start, or npm start

Starts a node. Without any settings, it listens on http://127.0.0.1:7777.

  --help   prints this text

SIGTERM and SIGINT drain the node. A second signal ends it at once.

Exit codes: 0 the node drained in time; 1 it did not drain in time, could not start, or had to stop because of a failure;
143 and 130 SIGTERM or SIGINT ended it before it had started

Settings are environment variables. docs/operations/settings.md explains them. Defaults are in brackets:

${formatSettings()}`;

function formatBanner({ url, playgroundUrl }: Started): string {
  const lines = [
    `  nano-messaging is running at ${url}`,
    ...(playgroundUrl ? [`  try it in the browser: ${playgroundUrl}`] : []),
    '  Ctrl-C stops it',
  ];
  return `\n${lines.join('\n')}\n\n`;
}

async function main(): Promise<void> {
  if (!mayRun(formatUsage())) return;
  handleSignals();
  const config = readConfig(process.env);
  const logger = openLog(config);
  const { workers } = config;
  const { mode } = config.database;
  const fields = { database: mode, ...(workers > 1 && { workers }) };
  logger.info(fields, mode === 'embedded' ? 'starting; the first start takes some seconds' : 'starting');
  const started = await (workers > 1 ? startWorkers(config, logger) : startAlone(config, logger));
  drainOnSignal(started);
  if (isStopping()) return;
  const { url, playgroundUrl } = started;
  logger.info({ url, ...fields, playgroundUrl }, `listening on ${url}`);
  if (isForPeople(config.logFormat)) writeToTerminal(formatBanner(started));
}

async function startAlone(config: Config, logger: Logger): Promise<Started> {
  // The import of the server takes some time. Mistakes in the settings should be reported at once, so they are checked
  // before.
  const { startServer } = await import('../server.ts');
  // `onFailure` exits without a message, because the server has already logged the reason.
  return startServer(config, { logger, onFailure: () => void exit(1) });
}

async function startWorkers(config: Config, logger: Logger): Promise<Started> {
  for (const warning of config.warnings) logger.warn(warning);
  const { startPrimary } = await import('../workers/primary.ts');
  const workerFile = fileURLToPath(new URL(`worker${extname(import.meta.filename)}`, import.meta.url));
  return startPrimary({ config, workerFile, logger, onServing: drainOnSignal });
}

main().catch(fail);
