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
  /** The server verifies a token. */
  token: { tokens: 5 },
  /** Messages cost nothing, because they have a separate limit, `SEND_RATE`. */
  message: { tokens: 0 },
  free: { tokens: 0 },
} as const satisfies Record<string, RequestCost>;
