import type { Config } from '../config/config.ts';

/**
 * The configuration of one of `count` workers. Limits of the node become the share of one worker; 0 means no limit. The
 * primary has already logged the warnings.
 */
export function toWorkerConfig(config: Config, count: number): Config {
  const share = (limit: number) => Math.ceil(limit / count);
  const { http, limits } = config;
  return {
    ...config,
    http: { ...http, maxConnections: share(http.maxConnections) },
    limits: {
      ...limits,
      unauthenticatedConnections: share(limits.unauthenticatedConnections),
      inboxItemsPerSecond: share(limits.inboxItemsPerSecond),
    },
    warnings: [],
  };
}
