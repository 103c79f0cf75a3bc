import { ConfigError } from '../config/config.ts';

/** What a person at the terminal needs to know when it does not start; the rest is in the log. */
export function explainStartFailure(error: unknown): string {
  return error instanceof ConfigError ? error.message : `nano-messaging could not start: ${getMessage(error)}`;
}

function getMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error ? `${error.message} (${getMessage(cause)})` : error.message || error.name;
}
