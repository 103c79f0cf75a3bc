import type { EphemeralBus } from '../core/ephemeral.ts';
import { ErrorReply } from './redis-connection.ts';
import type { GetSharedStore } from './shared-store.ts';

interface NodeListReport {
  failed(error: unknown): void;
  recovered(): void;
}

/** The list of running nodes in the shared store: a sorted set whose scores are the times at which entries expire. */
export function createNodeList(
  getStore: GetSharedStore,
  node: string,
  prefix: string,
  report: NodeListReport,
): Pick<EphemeralBus, 'countNodes' | 'leaveNodes'> {
  const key = `${prefix}:nodes`;
  return {
    async countNodes(leaseMs) {
      const store = getStore();
      if (!store?.isUp) return undefined;
      try {
        const count = await store.connection.enlist(key, node, leaseMs);
        report.recovered();
        return count;
      } catch (error) {
        if (error instanceof ErrorReply) {
          report.failed(error);
          store.handleWriteFailure(error);
        }
        return undefined;
      }
    },
    leaveNodes() {
      const store = getStore();
      // If the command does not reach the store, the entry expires by itself.
      if (store?.isUp) store.connection.zRem(key, node).catch(() => {});
    },
  };
}
