import type { ConnectionLeases } from '../cluster/shared-limits.ts';
import { ChatError } from '../core/errors.ts';
import type { Uuid } from '../core/ids.ts';

/** Limits the number of connections, over both live transports. */
export interface ConnectionLimits {
  /**
   * Counts a connection that has no token yet. At the limit the oldest of them is closed, so that one host cannot lock
   * the others of this node out. Returns the undo, for when it has authenticated or gone.
   */
  awaitToken(close: () => void): () => void;
  /**
   * Counts a connection of the user, on all nodes together where that can be, or throws `TOO_MANY_CONNECTIONS`.
   * Returns the undo.
   */
  admit(user: Uuid): Promise<() => void>;
  /** Connections that have no token yet. */
  readonly unauthenticated: number;
}

interface Limits {
  unauthenticatedConnections: number;
  connectionsPerUser: number;
}

export function createConnectionLimits(limits: Limits, leases?: ConnectionLeases): ConnectionLimits {
  const unauthenticated = new Set<() => void>();
  const perUser = new Map<Uuid, number>();
  const maxPerUser = limits.connectionsPerUser;
  let admitted = 0;

  async function isFull(user: Uuid, holder: string): Promise<boolean> {
    if (maxPerUser === 0) return false;
    const answer = (await leases?.acquire(user, holder, maxPerUser)) ?? 'unknown';
    return answer === 'unknown' ? perUser.get(user)! > maxPerUser : answer === 'full';
  }

  return {
    awaitToken(close) {
      if (limits.unauthenticatedConnections > 0 && unauthenticated.size >= limits.unauthenticatedConnections) {
        const [oldest] = unauthenticated;
        if (oldest) {
          unauthenticated.delete(oldest);
          oldest();
        }
      }
      const entry = () => close();
      unauthenticated.add(entry);
      return () => void unauthenticated.delete(entry);
    },
    async admit(user) {
      const holder = String(admitted++);
      // Counted before the wait, so that two connections at once do not both get the last free one.
      perUser.set(user, (perUser.get(user) ?? 0) + 1);
      let isCounted = true;
      const release = () => {
        if (!isCounted) return;
        isCounted = false;
        const left = (perUser.get(user) ?? 1) - 1;
        if (left > 0) perUser.set(user, left);
        else perUser.delete(user);
        if (maxPerUser > 0) leases?.release(user, holder);
      };
      if (!(await isFull(user, holder))) return release;
      release();
      throw new ChatError('TOO_MANY_CONNECTIONS', {
        message: `This user has ${maxPerUser} connections, as many as he may have`,
      });
    },
    get unauthenticated() {
      return unauthenticated.size;
    },
  };
}
