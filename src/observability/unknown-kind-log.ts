import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';

const maxRooms = 1_000;

/**
 * Creates a function that logs a change whose kind this version does not know, because a newer version has made it. It
 * warns only once per room, because many changes of the room may be of that kind.
 */
export function createUnknownKindLog(
  logger: Logger,
): (room_id: number, change?: { kind: string; rev: number }) => void {
  const logged = new LRUCache<number, true>({ max: maxRooms });
  return (room_id, change) => {
    if (logged.has(room_id)) return;
    logged.set(room_id, true);
    const fields = { room_id, kind: change?.kind, rev: change?.rev };
    logger.warn(
      fields,
      'change of an unknown kind, made by a newer version; the subscribers of the room must reconnect',
    );
  };
}
