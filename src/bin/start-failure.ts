import { ConfigError } from '../config/config.ts';

/** Explains briefly, for a person at the terminal, why the server could not start. The log has the details. */
export function explainStartFailure(error: unknown): string {
  return error instanceof ConfigError ? error.message : `nano-messaging could not start: ${getMessage(error)}`;
}

function getMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error ? `${error.message} (${getMessage(cause)})` : error.message || error.name;
}
