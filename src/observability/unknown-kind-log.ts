import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';

const maxRooms = 1_000;

/**
 * Creates a function that logs a change of an unknown kind, which a node of a newer version has made. It warns only
 * once per room, because all further changes of the room may be of that kind.
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
      'a newer version has changed the room in a way that this one does not know; its members reconnect',
    );
  };
}
