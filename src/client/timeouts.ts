export interface Timeouts {
  /** How long an answer is waited for before the client asks again, or gives up where it does not. */
  answerMs: number;
  /** How long a connection may take to be made. */
  connectMs: number;
  /** How long the token function may take. */
  tokenMs: number;
  /** The pause before the first try to come back. It doubles with each that fails, and is a random part of that. */
  backoffMs: number;
  maxBackoffMs: number;
}

export const defaultTimeouts: Timeouts = {
  answerMs: 10_000,
  connectMs: 20_000,
  tokenMs: 30_000,
  backoffMs: 500,
  maxBackoffMs: 10_000,
};

/** Before the next try, after so many that failed. Between half and all of it, so that clients do not come in step. */
export function computeBackoffMs(failures: number, { backoffMs, maxBackoffMs }: Timeouts): number {
  return Math.min(maxBackoffMs, backoffMs * 2 ** failures) * (0.5 + Math.random() / 2);
}
