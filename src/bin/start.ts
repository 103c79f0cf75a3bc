import { readConfig } from '../config/config.ts';
import { createLogOutput } from '../observability/log-output.ts';
import { createLogger, isForPeople, type ProcessLogger } from '../observability/logger.ts';
import type { RunningServer } from '../server.ts';
import { mayRun } from './command-line.ts';
import { formatSettings } from './settings-help.ts';
import { explainStartFailure } from './start-failure.ts';

const formatUsage = () => `nano-messaging start, or npm start

Starts a node. Without any settings, it listens on http://127.0.0.1:7777.

  --help   prints this text

SIGTERM and SIGINT drain the node. A second signal ends it at once.

Exit codes: 0 the node drained in time; 1 it did not drain in time, could not start, or had to stop because of a failure;
143 and 130 SIGTERM or SIGINT ended it before it had started

Settings are environment variables. docs/operations/settings.md explains them. Defaults are in brackets:

${formatSettings()}`;

const sameKeypressMs = 300;
/** Before the process exits, it waits up to this time for a slow reader of its output, so that no lines are lost. */
const flushMs = 500;
const signalNumbers = { SIGTERM: 15, SIGINT: 2 };

const stderr = createLogOutput(2, (count) => `(${count} lines were lost here)\n`);
let log: ProcessLogger | undefined;
let server: RunningServer | undefined;
let drainingSince: number | undefined;

async function exit(code: number): Promise<never> {
  await Promise.all([log?.flush(flushMs), stderr.flush(flushMs)]);
  process.exit(code);
}

function fail(error: unknown): Promise<never> {
  stderr.write(`${explainStartFailure(error)}\n`);
  return exit(1);
}

/**
 * Handles SIGTERM and SIGINT. The handlers must be registered before anything else: in a container, the service may be
 * process 1, and the kernel ignores a signal to process 1 that has no handler.
 */
function stop(signal: 'SIGTERM' | 'SIGINT'): void {
  // If npm runs the service, one Ctrl-C delivers SIGINT twice: from the terminal and from npm. The second signal must not
  // end the process at once.
  if (signal === 'SIGINT' && drainingSince !== undefined && Date.now() - drainingSince < sameKeypressMs) return;
  if (drainingSince !== undefined) return process.exit(1);
  drainingSince = Date.now();
  if (!server) {
    log?.logger.info({ signal }, 'stopped before it had started');
    return void exit(128 + signalNumbers[signal]);
  }
  log?.logger.info({ signal }, 'draining');
  const since = performance.now();
  const onDrained = (inTime: boolean, error?: unknown) => {
    const outcome = { inTime, forMs: Math.round(performance.now() - since), ...(error ? { err: error } : {}) };
    log?.logger[inTime ? 'info' : 'warn'](outcome, inTime ? 'drained' : 'drain timed out');
    return exit(inTime ? 0 : 1);
  };
  server.drain().then(
    (inTime) => onDrained(inTime),
    (error: unknown) => onDrained(false, error),
  );
}

function formatBanner({ url, playgroundUrl }: RunningServer): string {
  const lines = [
    `  nano-messaging is running at ${url}`,
    ...(playgroundUrl ? [`  try it in the browser: ${playgroundUrl}`] : []),
    '  Ctrl-C stops it',
  ];
  return `\n${lines.join('\n')}\n\n`;
}

async function main(): Promise<void> {
  if (!mayRun(formatUsage())) return;
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  const config = readConfig(process.env);
  log = createLogger(config.logLevel, config.logFormat);
  const { logger } = log;
  // An error that reaches these handlers is a bug. The process logs the error and continues, so that a client whose input
  // causes the error cannot stop the service for everybody.
  process.on('unhandledRejection', (error) => logger.fatal({ err: error }, 'unhandled rejection'));
  process.on('uncaughtException', (error) => logger.fatal({ err: error }, 'uncaught exception'));
  const { mode } = config.database;
  logger.info({ database: mode }, mode === 'embedded' ? 'starting; the first start takes some seconds' : 'starting');
  // The import of the server takes some time. Mistakes in the settings should be reported at once, so they are checked
  // before.
  const { startServer } = await import('../server.ts');
  // `onFailure` exits without a message, because the server has already logged the reason.
  server = await startServer(config, { logger, onFailure: () => void exit(1) });
  const { url, playgroundUrl } = server;
  logger.info({ url, database: mode, playgroundUrl }, `listening on ${url}`);
  if (isForPeople(config.logFormat)) stderr.write(formatBanner(server));
}

main().catch(fail);
