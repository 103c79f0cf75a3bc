import { ChatError, type ErrorCode } from '../errors.ts';
import type { RoomId, Uuid } from '../ids.ts';
import { countTokens, type RequestCost, refusalCost } from './request-costs.ts';
import { type ShareSpending, TokenBuckets } from './token-buckets.ts';

/** What one user may ask for, and what may be done to one. Refuses with `RATE_LIMITED` and the time to wait. */
export interface RequestLimits {
  /** A request of the user, before anything is done for it. */
  consume(user: Uuid, cost: RequestCost, input?: unknown): void;
  /** A request that was refused with this code. */
  chargeRefusal(user: Uuid, code: ErrorCode): void;
  /** A new rule that `giver` gives to `receiver`. */
  consumeRule(giver: Uuid, receiver: Uuid): void;
  /** A change of the user's own rule that takes back an answer, or the rule itself. */
  consumeOwnChange(user: Uuid, room: RoomId): void;
}

export const limitNames = ['requests', 'messages', 'rules', 'own_changes'] as const;
export type LimitName = (typeof limitNames)[number];

export interface LimitEvents {
  /** Something was refused by this limit. */
  limited(limit: LimitName): void;
}

interface Settings {
  /** Tokens a second, and of a full bucket. A rate of 0 is no limit. */
  requestRate: number;
  requestBurst: number;
  /** Rules a minute, and at once. A rate of 0 is no limit. */
  ruleRate: number;
  ruleBurst: number;
}

/** Of what a receiver may be given, one giver takes half at most, so that nobody keeps the others from inviting. */
const giverShare = 0.5;

/**
 * Who goes back and forth writes to the log of everybody in the room: with more than 500 changes nobody who comes back
 * recovers what was missed. So this is little enough for that to take hours, and no setting.
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
      // What costs nothing is taken, too, unless the user owes for refusals.
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
  requests: 'This user has made more requests than one user may; wait',
  rules: 'This user or organisation has been given many rules in a short time; wait',
  own_changes: 'You have changed your own rule in this room many times; wait',
} satisfies Partial<Record<LimitName, string>>;
