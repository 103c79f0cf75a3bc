import type { ConnectionLeases } from '../cluster/shared-limits.ts';
import { ChatError } from '../core/errors.ts';
import type { Uuid } from '../core/ids.ts';

/** Limits the number of live connections. Socket.IO and `/chat` share the limits. */
export interface ConnectionLimits {
  /**
   * Counts a connection that has no token yet. At the limit, closes the oldest such connection. It does not reject the
   * new connection, because then a single host could lock all other clients out of this node. Returns a function that
   * ends the count; call it when the connection has authenticated or closed.
   */
  awaitToken(close: () => void): () => void;
  /**
   * Counts a connection of the user, or throws `TOO_MANY_CONNECTIONS`. The limit applies to all nodes together, or to
   * this node alone if there is no Redis or Redis does not answer. Returns a function that ends the count.
   */
  admit(user: Uuid): Promise<() => void>;
  /** The number of connections that have no token yet. */
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
      // The connection is counted before the `await`. Otherwise two simultaneous connections could both pass the limit.
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
        message: `This user has ${maxPerUser} connections, the maximum; close one and connect again`,
      });
    },
    get unauthenticated() {
      return unauthenticated.size;
    },
  };
}
