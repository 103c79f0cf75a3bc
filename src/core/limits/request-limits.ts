import { ChatError, type ErrorCode } from '../errors.ts';
import type { RoomId, Uuid } from '../ids.ts';
import type { RequestCost } from './request-costs.ts';
import { type ShareSpending, TokenBuckets } from './token-buckets.ts';

/**
 * Limits what one user may request, and how many rules one user may receive. The `consume…` methods throw
 * `RATE_LIMITED` with the time to wait.
 */
export interface RequestLimits {
  /** Called for each request of the user, before it is handled. */
  consume(user: Uuid, cost: RequestCost, input?: unknown): void;
  /** Called for each request of the user that failed, with the code of the error. */
  chargeRefusal(user: Uuid, code: ErrorCode): void;
  /** Called for each new rule that `giver` creates for `receiver`. */
  consumeRule(giver: Uuid, receiver: Uuid): void;
  /** Called if users change their answer to an invitation, or leave the room by removing their own rule. */
  consumeOwnChange(user: Uuid, room: RoomId): void;
}

export const limitNames = ['requests', 'messages', 'rules', 'own_changes'] as const;
export type LimitName = (typeof limitNames)[number];

export interface LimitEvents {
  /** The limit has rejected a request. */
  limited(limit: LimitName): void;
}

interface Settings {
  /** `requestRate` is in tokens per second; a full bucket has `requestBurst` tokens. A rate of 0 means no limit. */
  requestRate: number;
  requestBurst: number;
  /** `ruleRate` is in rules per minute; `ruleBurst` is the maximum at once. A rate of 0 means no limit. */
  ruleRate: number;
  ruleBurst: number;
}

/**
 * One giver may use at most half of a receiver's limit, so that one giver alone cannot keep others from adding rules.
 */
const giverShare = 0.5;

/**
 * Limits how often a user may leave a room and return. Each time adds changes to the room's log, and clients that miss
 * more than 500 changes cannot recover them. With this limit, one user needs hours to add so many changes. The limit is
 * not a setting, because nobody needs a higher one.
 */
const ownChangeLimit = { rate: 2 / 60, burst: 10 };

export function createRequestLimits(
  { requestRate, requestBurst, ruleRate, ruleBurst }: Settings,
  { limited }: LimitEvents,
  share?: ShareSpending,
): RequestLimits {
  const requests = requestRate > 0 ? new TokenBuckets({ rate: requestRate, burst: requestBurst, share }) : undefined;
  const rulesReceived = ruleRate > 0 ? new TokenBuckets({ rate: ruleRate / 60, burst: ruleBurst, share }) : undefined;
  const byGiver = { rate: (ruleRate * giverShare) / 60, burst: Math.max(1, ruleBurst * giverShare) };
  const rulesGiven = ruleRate > 0 ? new TokenBuckets({ ...byGiver, share }) : undefined;
  const changes = new TokenBuckets({ ...ownChangeLimit, share });

  function assertAvailable(retryAfterMs: number | undefined, limit: keyof typeof limitMessages): void {
    if (!retryAfterMs) return;
    limited(limit);
    throw new ChatError('RATE_LIMITED', { message: limitMessages[limit], retryAfterMs });
  }

  return {
    consume(user, cost, input) {
      // Free requests are also rejected while the user owes tokens for failed requests.
      assertAvailable(requests?.consume(`requests:${user}`, countTokens(cost, input)), 'requests');
    },
    chargeRefusal: (user, code) => requests?.charge(`requests:${user}`, refusalCost(code)),
    consumeRule(giver, receiver) {
      assertAvailable(rulesGiven?.consume(`rules:${giver}:${receiver}`, 1), 'rules');
      assertAvailable(rulesReceived?.consume(`rules:${receiver}`, 1), 'rules');
    },
    consumeOwnChange: (user, room) => assertAvailable(changes.consume(`changes:${user}:${room}`, 1), 'own_changes'),
  };
}

const limitMessages = {
  requests: 'This user has sent too many requests, retry later',
  rules: 'This user or organisation has been added to too many rooms in a short time, retry later',
  own_changes: 'You have changed your own rule in this room too often, retry later',
} satisfies Partial<Record<LimitName, string>>;

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
