/**
 * The tokens that a request takes from the bucket of its user. A full bucket has `REQUEST_BURST` tokens, and
 * `REQUEST_RATE` tokens are refilled per second.
 */
export interface RequestCost {
  tokens: number;
  /**
   * Adds `perHundred.tokens` for every 100 requested rows, rounded up. A request asks for `limit` plus `offset` rows;
   * `perHundred.rows` is the default of `limit`.
   */
  perHundred?: { tokens: number; rows: number };
  /** Added to `tokens` if the request has `since`, because the server then also reads the missed changes. */
  since?: number;
}

export const costs = {
  read: { tokens: 1 },
  list: { tokens: 1, perHundred: { tokens: 1, rows: 1_000 } },
  /** Expensive, because a room may have a thousand rules. */
  rules: { tokens: 5 },
  page: { tokens: 1, perHundred: { tokens: 4, rows: 100 } },
  join: { tokens: 2, since: 2 },
  /** The cost of requests that create a room or write a change other than a message. */
  change: { tokens: 20 },
  /** The cost of requests that delete up to a hundred messages. */
  deletion: { tokens: 2 },
  /** The cost of requests that make the server verify a token. */
  token: { tokens: 5 },
  /** Messages have a separate limit, `SEND_RATE`. */
  message: { tokens: 0 },
  /** Read marks, personal settings and inbox requests have a separate limit, `READ_RATE`. */
  readState: { tokens: 0 },
  free: { tokens: 0 },
} as const satisfies Record<string, RequestCost>;
