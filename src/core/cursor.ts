import { z } from 'zod';
import type { RoomId } from './ids.ts';

/**
 * A position in one room's log. `at` is when the change of that `rev` was committed (ms since 1970) and is the epoch:
 * a database restored from a backup grows other changes at other moments, so a cursor from before does not fit them.
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

/** Undefined for what no server of ours has written: the client then starts afresh. */
export function parseCursor(cursor: Cursor): Position | undefined {
  const parts = /^([0-9a-z]{1,11})\.([0-9a-z]{1,11})\.([0-9a-z]{1,11})$/.exec(cursor);
  if (!parts) return undefined;
  const [room_id, rev, at] = parts.slice(1).map((part) => Number.parseInt(part, 36)) as [number, number, number];
  return { room_id, rev, at };
}
