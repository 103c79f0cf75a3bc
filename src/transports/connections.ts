import { ChatError } from '../protocol/errors.ts';
import type { Uuid } from '../protocol/identifiers.ts';

/** How many connections there may be, over both live transports of this node. */
export interface Connections {
  /**
   * Counts a connection that has no token yet. At the limit the oldest of them is closed, so that one host cannot lock
   * the others out. Returns the undo, for when it has authenticated or gone.
   */
  awaitToken(close: () => void): () => void;
  /** Counts a connection of the user, or throws `TOO_MANY_CONNECTIONS`. Returns the undo. */
  admit(user: Uuid): () => void;
}

export function connections(limits: { unauthenticated: number; connectionsPerUser: number }): Connections {
  const waiting = new Set<() => void>();
  const perUser = new Map<Uuid, number>();
  return {
    awaitToken(close) {
      if (limits.unauthenticated > 0 && waiting.size >= limits.unauthenticated) {
        const [oldest] = waiting;
        if (oldest) {
          waiting.delete(oldest);
          oldest();
        }
      }
      const entry = () => close();
      waiting.add(entry);
      return () => void waiting.delete(entry);
    },
    admit(user) {
      const open = perUser.get(user) ?? 0;
      if (limits.connectionsPerUser > 0 && open >= limits.connectionsPerUser) {
        const message = `This user has ${open} connections, as many as he may have`;
        throw new ChatError('TOO_MANY_CONNECTIONS', { message });
      }
      perUser.set(user, open + 1);
      let counted = true;
      return () => {
        if (!counted) return;
        counted = false;
        const left = (perUser.get(user) ?? 1) - 1;
        if (left > 0) perUser.set(user, left);
        else perUser.delete(user);
      };
    },
  };
}
