import { isatty } from 'node:tty';
import { type Logger, pino } from 'pino';
import { createPrettyFormat } from './log-format.ts';
import { createLogOutput, type LogOutput } from './log-output.ts';

/**
 * Selects the fields of an error that are logged. The other fields are left out: errors from PostgreSQL also have fields
 * with data, such as the failing row, and the content of chat messages must not appear in the log.
 */
export function describeError(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) };
  const { name, message, stack, cause } = error;
  const { code } = error as { code?: unknown };
  return {
    name,
    message,
    stack,
    ...(code !== undefined && { code }),
    ...(cause ? { cause: describeError(cause) } : {}),
  };
}

export type LogFormat = 'auto' | 'json' | 'pretty';

const stdout = 1;

export const isForPeople = (format: LogFormat): boolean => format === 'pretty' || (format === 'auto' && isatty(stdout));

export interface ProcessLogger {
  logger: Logger;
  /** Resolves when every line is written, at the latest after the given time. */
  flush: LogOutput['flush'];
}

/**
 * Creates a logger that writes to the standard output. It never blocks; lines that cannot be written are dropped. `fields`
 * are added to each line.
 */
export function createLogger(level: string, format: LogFormat = 'json', fields: object = {}): ProcessLogger {
  const isPretty = isForPeople(format);
  const hasColours = isPretty && isatty(stdout) && process.stdout.hasColors();
  const formatLine = isPretty ? createPrettyFormat(hasColours) : (line: string) => line;
  const formatLostLine = (count: number) =>
    formatLine(`${JSON.stringify({ level: 'warn', time: Date.now(), lost: count, msg: 'log lines were lost' })}\n`);
  const output = createLogOutput(stdout, formatLostLine);
  const options = {
    level,
    serializers: { err: describeError },
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const logger = pino(options, { write: (line: string) => output.write(formatLine(line)) }).child(fields);
  return { logger, flush: output.flush };
}
