import { type Logger, pino } from 'pino';
import { describeError } from '../../src/observability/logger.ts';

export interface LogLine {
  level: number;
  msg: string;
  err?: { message: string; code?: string };
  [field: string]: unknown;
}

export interface CapturedLog {
  logger: Logger;
  lines: LogLine[];
  /** The entries whose message starts with `msg`. */
  startingWith(msg: string): LogLine[];
  warnings(): LogLine[];
}

/** Captures the log as the process writes it. */
export function captureLog(level = 'info'): CapturedLog {
  const lines: LogLine[] = [];
  const stream = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const logger = pino({ level, serializers: { err: describeError } }, stream);
  return {
    ...{ logger, lines },
    startingWith: (msg) => lines.filter((line) => line.msg.startsWith(msg)),
    warnings: () => lines.filter(({ level }) => level >= 40),
  };
}
