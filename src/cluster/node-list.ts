import type { EphemeralBus } from '../core/ephemeral.ts';
import { ErrorReply } from './redis-connection.ts';
import type { RedisPubSub } from './redis-pubsub.ts';

type GetPubSub = () => Pick<RedisPubSub, 'isUp' | 'connection' | 'handleWriteFailure'> | undefined;

interface NodeListReport {
  failed(error: unknown): void;
  recovered(): void;
}

/** The list of running nodes in Redis: a sorted set whose scores are the times at which entries expire. */
export function createNodeList(
  getPubSub: GetPubSub,
  node: string,
  prefix: string,
  report: NodeListReport,
): Pick<EphemeralBus, 'countNodes' | 'leaveNodes'> {
  const key = `${prefix}:nodes`;
  return {
    async countNodes(leaseMs) {
      const pubsub = getPubSub();
      if (!pubsub?.isUp) return undefined;
      try {
        const count = await pubsub.connection.enlist(key, node, leaseMs);
        report.recovered();
        return count;
      } catch (error) {
        if (error instanceof ErrorReply) {
          report.failed(error);
          pubsub.handleWriteFailure(error);
        }
        return undefined;
      }
    },
    leaveNodes() {
      const pubsub = getPubSub();
      // If the command does not reach Redis, the entry expires by itself.
      if (pubsub?.isUp) pubsub.connection.zRem(key, node).catch(() => {});
    },
  };
}
