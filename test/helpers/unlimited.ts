import { createRequestLimits } from '../../src/core/limits/request-limits.ts';

/** For sessions in unit tests. */
export const unlimited = createRequestLimits(
  { requestRate: 0, requestBurst: 1, ruleRate: 0, ruleBurst: 1, readRate: 0 },
  {
    limited: () => {},
  },
);
