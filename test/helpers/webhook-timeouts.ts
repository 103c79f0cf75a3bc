import type { Config } from '../../src/config/config.ts';

/** Short enough for tests. */
const shortTimeouts = {
  ...{ leaseMs: 1_000, renewMs: 200, busyPollMs: 20, idlePollMs: 50, minBackoffMs: 30, maxBackoffMs: 200 },
  ...{ minRoomBackoffMs: 50, maxRoomBackoffMs: 200, finishMs: 500 },
};

export const withWebhookTimeouts =
  (timeouts: Record<string, number> = {}) =>
  (config: Config): Config => ({ ...config, timeouts: { webhooks: { ...shortTimeouts, ...timeouts } } });
