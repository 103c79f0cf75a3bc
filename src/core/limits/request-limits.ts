import { ChatError, type ErrorCode } from '../errors.ts';
import type { RoomId, Uuid } from '../ids.ts';
import type { RequestCost } from './request-costs.ts';
import { type ShareSpending, TokenBuckets } from './token-buckets.ts';

/**
 * Limits the requests of each user, and the rules that others may create for each user. The `consume…` methods throw
 * `RATE_LIMITED` with the time to wait.
 */
export interface RequestLimits {
  /** Called for each request of the user, before it is handled. */
  consume(user: Uuid, cost: RequestCost, input?: unknown): void;
  /** Called for each request of the user that failed, with the code of the error. */
  chargeRefusal(user: Uuid, code: ErrorCode): void;
  /** Called for each new rule that `giver` creates for `receiver`. */
  consumeRule(giver: Uuid, receiver: Uuid): void;
  /** Called if the user changes their answer to an invitation, or removes their own rule to leave the room. */
  consumeOwnChange(user: Uuid, room: RoomId): void;
  /** Called for each read mark, each change of personal settings and each inbox request. */
  consumeRead(user: Uuid): void;
}

export const limitNames = ['requests', 'messages', 'rules', 'own_changes', 'reads'] as const;
export type LimitName = (typeof limitNames)[number];

export interface LimitEvents {
  /** Called when the limit has rejected a request. */
  limited(limit: LimitName): void;
}

interface Settings {
  /** In tokens per second; 0 means no limit. A full bucket has `requestBurst` tokens. */
  requestRate: number;
  requestBurst: number;
  /** In rules per minute; 0 means no limit. `ruleBurst` is the maximum at once. */
  ruleRate: number;
  ruleBurst: number;
  /** In requests per second. A rate of 0 means no limit. */
  readRate: number;
}

/**
 * A user can get only half as many rules from one giver as from all givers together. Therefore one giver alone cannot
 * keep others from adding rules for the user.
 */
const giverShare = 0.5;

/**
 * Limits how often a user may leave a room and return. Both add a change to the room's log, and a client that missed
 * more than 500 changes has to reload the room. With this limit, one user needs hours to add 500 changes. It is not a
 * setting, because nobody needs a higher limit.
 */
const ownChangeLimit = { rate: 2 / 60, burst: 10 };

export function createRequestLimits(
  { requestRate, requestBurst, ruleRate, ruleBurst, readRate }: Settings,
  { limited }: LimitEvents,
  share?: ShareSpending,
): RequestLimits {
  const requests = requestRate > 0 ? new TokenBuckets({ rate: requestRate, burst: requestBurst, share }) : undefined;
  const rulesReceived = ruleRate > 0 ? new TokenBuckets({ rate: ruleRate / 60, burst: ruleBurst, share }) : undefined;
  const byGiver = { rate: (ruleRate * giverShare) / 60, burst: Math.max(1, ruleBurst * giverShare) };
  const rulesGiven = ruleRate > 0 ? new TokenBuckets({ ...byGiver, share }) : undefined;
  const changes = new TokenBuckets({ ...ownChangeLimit, share });
  const reads = readRate > 0 ? new TokenBuckets({ rate: readRate, burst: readRate * 2, share }) : undefined;

  function assertAvailable(retryAfterMs: number | undefined, limit: keyof typeof limitMessages): void {
    if (!retryAfterMs) return;
    limited(limit);
    throw new ChatError('RATE_LIMITED', { message: limitMessages[limit], retryAfterMs });
  }

  return {
    consume(user, cost, input) {
      // This also rejects requests that cost nothing, as long as the user owes tokens for failed requests.
      assertAvailable(requests?.consume(`requests:${user}`, countTokens(cost, input)), 'requests');
    },
    chargeRefusal: (user, code) => requests?.charge(`requests:${user}`, refusalCost(code)),
    consumeRule(giver, receiver) {
      assertAvailable(rulesGiven?.consume(`rules:${giver}:${receiver}`, 1), 'rules');
      assertAvailable(rulesReceived?.consume(`rules:${receiver}`, 1), 'rules');
    },
    consumeOwnChange: (user, room) => assertAvailable(changes.consume(`changes:${user}:${room}`, 1), 'own_changes'),
    consumeRead: (user) => assertAvailable(reads?.consume(`reads:${user}`, 1), 'reads'),
  };
}

const limitMessages = {
  requests: 'This user has sent too many requests, retry later',
  rules: 'This user or organisation has been added to too many rooms in a short time, retry later',
  reads: 'This user has sent too many marks, personal settings and inbox requests, retry later',
  own_changes: 'You have changed your own rule in this room too often, retry later',
} satisfies Partial<Record<LimitName, string>>;

/** The tokens that a rejected request costs in addition to its normal cost. */
const refusal = 5;

/** These errors cost nothing in addition, because the client could not have avoided them. */
const unchargedRefusals: readonly ErrorCode[] = ['RATE_LIMITED', 'TOO_MANY_CONNECTIONS', 'INTERNAL', 'UNAVAILABLE'];

export const refusalCost = (code: ErrorCode): number => (unchargedRefusals.includes(code) ? 0 : refusal);

/** Computes the cost of a request. `input` has not been validated yet. */
export function countTokens({ tokens, perHundred, since = 0 }: RequestCost, input: unknown): number {
  const given = (typeof input === 'object' && input !== null ? input : {}) as Record<string, unknown>;
  const extra = given.since == null ? 0 : since;
  if (!perHundred) return tokens + extra;
  const rows = parseCount(given.limit, perHundred.rows) + parseCount(given.offset, 0);
  return tokens + extra + perHundred.tokens * Math.ceil(rows / 100);
}

/** Returns the fallback for an invalid value. The validation will reject that request later. */
function parseCount(given: unknown, fallback: number): number {
  const value = typeof given === 'string' || typeof given === 'number' ? Number(given) : fallback;
  return Number.isFinite(value) && value >= 0 ? value : fallback;
}
