import { type Logger, pino } from 'pino';

/**
 * What is logged of an error. PostgreSQL's errors carry more, such as the failing row: no content of a message may get
 * into the log.
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

export function createLogger(level: string): Logger {
  return pino({ level, serializers: { err: describeError } });
}
