import type { ErrorCode } from '../errors.ts';

/**
 * The tokens that a request takes from the bucket of its user. A full bucket has `REQUEST_BURST` tokens, and
 * `REQUEST_RATE` tokens are refilled per second.
 */
export interface RequestCost {
  tokens: number;
  /**
   * Adds `tokens` for each started hundred of requested rows. A request asks for `limit` plus `offset` rows; `rows` is
   * the default of `limit`.
   */
  perHundred?: { tokens: number; rows: number };
  /** Tokens that are added if the request has `since`, because the server then also reads the missed changes. */
  since?: number;
}

/** The contract of each request refers to one of these costs. */
export const costs = {
  read: { tokens: 1 },
  list: { tokens: 1, perHundred: { tokens: 1, rows: 1_000 } },
  /** Reads all rules of a room, up to a thousand. */
  rules: { tokens: 5 },
  page: { tokens: 1, perHundred: { tokens: 4, rows: 100 } },
  join: { tokens: 2, since: 2 },
  /** Creates a room, or writes anything but a message to its log. */
  change: { tokens: 20 },
  /** Deletes up to a hundred messages. */
  deletion: { tokens: 2 },
  /** The server verifies a token. */
  token: { tokens: 5 },
  /** Messages cost nothing, because they have a separate limit, `SEND_RATE`. */
  message: { tokens: 0 },
  free: { tokens: 0 },
} as const satisfies Record<string, RequestCost>;

/** The tokens that a rejected request or message costs in addition to its normal cost. */
const refusal = 5;

/** Errors that cost nothing in addition, because the client could not have avoided them. */
const unchargedRefusals: readonly ErrorCode[] = ['RATE_LIMITED', 'TOO_MANY_CONNECTIONS', 'INTERNAL', 'UNAVAILABLE'];

export const refusalCost = (code: ErrorCode): number => (unchargedRefusals.includes(code) ? 0 : refusal);

/** Counts the tokens of a request. `input` comes from the client and is not validated yet. */
export function countTokens({ tokens, perHundred, since = 0 }: RequestCost, input: unknown): number {
  const given = (typeof input === 'object' && input !== null ? input : {}) as Record<string, unknown>;
  const extra = given.since == null ? 0 : since;
  if (!perHundred) return tokens + extra;
  const rows = parseCount(given.limit, perHundred.rows) + parseCount(given.offset, 0);
  return tokens + extra + perHundred.tokens * Math.ceil(rows / 100);
}

/** Returns the fallback for anything but a number. Validation rejects such a request later. */
function parseCount(given: unknown, fallback: number): number {
  const value = typeof given === 'string' || typeof given === 'number' ? Number(given) : fallback;
  return Number.isFinite(value) && value >= 0 ? value : fallback;
}
