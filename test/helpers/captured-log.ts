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
  /** Those whose message begins so. */
  startingWith(msg: string): LogLine[];
  warnings(): LogLine[];
}

/** A log as the process writes it, to be looked into. */
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
