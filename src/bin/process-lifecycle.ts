import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import { createLogOutput } from '../observability/log-output.ts';
import { createLogger, type ProcessLogger } from '../observability/logger.ts';
import { explainStartFailure } from './start-failure.ts';

interface Server {
  drain(): Promise<boolean>;
}

const sameKeypressMs = 300;
/** Before the process exits, it waits up to this time for a slow reader of its output, so that no lines are lost. */
const flushMs = 500;
const signalNumbers = { SIGTERM: 15, SIGINT: 2 };

const stderr = createLogOutput(2, (count) => `(${count} lines were lost here)\n`);
let log: ProcessLogger | undefined;
let server: Server | undefined;
let drainingSince: number | undefined;

export const writeToTerminal = (text: string): void => stderr.write(text);

export async function exit(code: number): Promise<never> {
  await Promise.all([log?.flush(flushMs), stderr.flush(flushMs)]);
  process.exit(code);
}

/** Explains the error and exits. */
export function fail(error: unknown): Promise<never> {
  stderr.write(`${explainStartFailure(error)}\n`);
  return exit(1);
}

/**
 * Call this before anything else: in a container, the service may be process 1, and the kernel ignores a signal to
 * process 1 that has no handler.
 */
export function handleSignals({ isWorker = false } = {}): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      // Ctrl-C and systemd send the signal to the workers as well as to the primary, which drains the workers.
      // For a worker this is the same request. If the primary ends at a second signal, its workers end with it.
      if (!isWorker || drainingSince === undefined) stop(signal);
    });
  }
}

/** From now on, SIGTERM and SIGINT drain this server. */
export function drainOnSignal(started: Server): void {
  server = started;
}

/** Whether the process drains or exits, because of a signal. */
export const isStopping = (): boolean => drainingSince !== undefined;

/** Creates the logger of this process. `fields` are added to each line. */
export function openLog({ logLevel, logFormat }: Pick<Config, 'logLevel' | 'logFormat'>, fields: object = {}): Logger {
  log = createLogger(logLevel, logFormat, fields);
  const { logger } = log;
  // An error that reaches these handlers is a bug. The process logs the error and continues, so that a client whose input
  // causes the error cannot stop the service for everybody.
  process.on('unhandledRejection', (error) => logger.fatal({ err: error }, 'unhandled rejection'));
  process.on('uncaughtException', (error) => logger.fatal({ err: error }, 'uncaught exception'));
  return logger;
}

/** Drains the server and exits. Has no effect if this has begun already. */
export function drainAndExit(): void {
  if (drainingSince === undefined) stop('SIGTERM');
}

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
