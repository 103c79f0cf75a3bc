/** What ends an import with one line and without a stack: nothing was written. */
export class ImportError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'ImportError';
  }
}

/** The first line that says something; a connection to several addresses fails with one error for each. */
export function formatReason(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return formatReason(error.errors[0]);
  const message = error instanceof Error ? error.message : String(error);
  return message.split('\n', 1)[0]!;
}
