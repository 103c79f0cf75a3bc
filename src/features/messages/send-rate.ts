import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { ChatError } from '../../core/errors.ts';
import type { Uuid } from '../../core/ids.ts';
import type { LimitEvents } from '../../core/limits/request-limits.ts';

export interface SendRate {
  /** Counts a message of the user. Throws `RATE_LIMITED` with the time to wait if the user has sent too many. */
  consume(user: Uuid): Promise<void>;
}

/** Allows `burst` messages per window of `burst / rate` seconds. A rate of 0 means no limit. */
export function createSendRate(rate: number, burst: number, { limited }: LimitEvents): SendRate {
  if (rate === 0) return { consume: () => Promise.resolve() };
  const limiter = new RateLimiterMemory({ points: burst, duration: burst / rate });
  return {
    async consume(user) {
      try {
        await limiter.consume(user);
      } catch (error) {
        if (!(error instanceof RateLimiterRes)) throw error;
        limited('messages');
        const message = `At most ${burst} messages in ${burst / rate} s are allowed, retry later`;
        throw new ChatError('RATE_LIMITED', { message, retryAfterMs: Math.max(1, Math.ceil(error.msBeforeNext)) });
      }
    },
  };
}
