import type { ErrorCode } from '../errors.ts';

/** The tokens that a request takes from its user's bucket: `REQUEST_BURST` tokens, refilled by `REQUEST_RATE` a second. */
export interface RequestCost {
  tokens: number;
  /** For each started hundred of the requested rows: `limit` plus `offset`; `rows` is the default of `limit`. */
  perHundred?: { tokens: number; rows: number };
  /** Added if the request has `since`, for the changes that the client missed. */
  since?: number;
}

/** The contract of each request names one of these. */
export const costs = {
  read: { tokens: 1 },
  list: { tokens: 1, perHundred: { tokens: 1, rows: 1_000 } },
  /** All rules of a room: up to a thousand. */
  rules: { tokens: 5 },
  page: { tokens: 1, perHundred: { tokens: 4, rows: 100 } },
  join: { tokens: 2, since: 2 },
  /** Creates a room, or writes anything but a message to its log. */
  change: { tokens: 20 },
  /** A token is verified. */
  token: { tokens: 5 },
  /** Messages have their own limit, `SEND_RATE`. */
  message: { tokens: 0 },
  free: { tokens: 0 },
} as const satisfies Record<string, RequestCost>;

/** A refusal costs this in addition to its request, messages included. */
const refusal = 5;

/** The client could not have avoided these by another request. */
const unchargedRefusals: readonly ErrorCode[] = ['RATE_LIMITED', 'TOO_MANY_CONNECTIONS', 'INTERNAL', 'UNAVAILABLE'];

export const refusalCost = (code: ErrorCode): number => (unchargedRefusals.includes(code) ? 0 : refusal);

/** `input` is what the client sent, not validated yet. */
export function countTokens({ tokens, perHundred, since = 0 }: RequestCost, input: unknown): number {
  const given = (typeof input === 'object' && input !== null ? input : {}) as Record<string, unknown>;
  const extra = given.since == null ? 0 : since;
  if (!perHundred) return tokens + extra;
  const rows = parseCount(given.limit, perHundred.rows) + parseCount(given.offset, 0);
  return tokens + extra + perHundred.tokens * Math.ceil(rows / 100);
}

/** Validation rejects anything but a number later. */
function parseCount(given: unknown, fallback: number): number {
  const value = typeof given === 'string' || typeof given === 'number' ? Number(given) : fallback;
  return Number.isFinite(value) && value >= 0 ? value : fallback;
}
