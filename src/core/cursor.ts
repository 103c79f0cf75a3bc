import { z } from 'zod';
import type { RoomId } from './ids.ts';

/**
 * A position in the log of a room. `at` is the commit time of the change at `rev`, in ms since 1970. It reveals
 * outdated cursors after a restore from a backup, because the database then assigns the same `rev` to different
 * changes.
 */
export interface Position {
  room_id: RoomId;
  rev: number;
  at: number;
}

export const Cursor = z
  .string()
  .max(128)
  .meta({ id: 'Cursor', description: "Opaque position in a room's log: hand it back as `since`." });
export type Cursor = string;

export function formatCursor({ room_id, rev, at }: Position): Cursor {
  return `${room_id.toString(36)}.${rev.toString(36)}.${at.toString(36)}`;
}

/** Returns undefined if the string is not a cursor. The client then has to resync. */
export function parseCursor(cursor: Cursor): Position | undefined {
  const parts = /^([0-9a-z]{1,11})\.([0-9a-z]{1,11})\.([0-9a-z]{1,11})$/.exec(cursor);
  if (!parts) return undefined;
  const [room_id, rev, at] = parts.slice(1).map((part) => Number.parseInt(part, 36)) as [number, number, number];
  return { room_id, rev, at };
}
