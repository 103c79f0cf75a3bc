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
   * this node alone if there is no Redis or Redis does not answer.
   */
  admit(user: Uuid): Promise<Admission>;
  /**
   * Resolves to whether each of the users has a live connection on any node; null if it cannot be known. After the death of a node,
   * its users count as connected for up to 45 s.
   */
  findConnected(users: readonly Uuid[]): Promise<ReadonlyMap<Uuid, boolean | null>>;
  /** The number of connections that have no token yet. */
  readonly unauthenticated: number;
}

/** A connection that is counted as a connection of its user. */
export interface Admission {
  /** Ends the count. A second call has no effect. */
  release(): void;
}

interface Limits {
  unauthenticatedConnections: number;
  connectionsPerUser: number;
}

export function createConnectionLimits(limits: Limits, leases?: ConnectionLeases): ConnectionLimits {
  const unauthenticated = new Set<() => void>();
  const perUser = new Map<Uuid, number>();
  const shared = { perUser, leases };
  const maxPerUser = limits.connectionsPerUser;
  let admitted = 0;

  async function isFull(user: Uuid, holder: string): Promise<boolean> {
    // The other nodes know from the lease that the user is connected, so it is acquired also without a limit.
    const acquiring = leases?.acquire(user, holder, maxPerUser);
    if (maxPerUser === 0) return false;
    const answer = (await acquiring) ?? 'unknown';
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
      const admission = new CountedConnection(shared, user, holder);
      if (!(await isFull(user, holder))) return admission;
      admission.release();
      throw new ChatError('TOO_MANY_CONNECTIONS', {
        message: `This user has ${maxPerUser} connections, the maximum; close one and connect again`,
      });
    },
    async findConnected(users) {
      const elsewhere = users.filter((user) => !perUser.has(user));
      const connected = leases && elsewhere.length > 0 ? await leases.findConnected(elsewhere) : new Set<Uuid>();
      return new Map(
        users.map((user) => [user, perUser.has(user) || (connected === undefined ? null : connected.has(user))]),
      );
    },
    get unauthenticated() {
      return unauthenticated.size;
    },
  };
}

interface Shared {
  perUser: Map<Uuid, number>;
  leases: ConnectionLeases | undefined;
}

/** Each connection has one of these objects, so it has few fields. */
class CountedConnection implements Admission {
  readonly #shared: Shared;
  readonly #user: Uuid;
  readonly #holder: string;
  #isCounted = true;

  constructor(shared: Shared, user: Uuid, holder: string) {
    this.#shared = shared;
    this.#user = user;
    this.#holder = holder;
    shared.perUser.set(user, (shared.perUser.get(user) ?? 0) + 1);
  }

  release(): void {
    if (!this.#isCounted) return;
    this.#isCounted = false;
    const { perUser, leases } = this.#shared;
    const left = (perUser.get(this.#user) ?? 1) - 1;
    if (left > 0) perUser.set(this.#user, left);
    else perUser.delete(this.#user);
    leases?.release(this.#user, this.#holder);
  }
}
