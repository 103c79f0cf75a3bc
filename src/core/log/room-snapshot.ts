import type { Position } from '../cursor.ts';
import type { Room } from '../room.ts';
import type { Grant } from './change.ts';

export interface RuleSnapshot extends Grant {
  permissions: string;
  createdAt: string;
  updatedAt: string;
}

/** A room, its rules and the head of its log. They are consistent, because one statement reads them all. */
export interface RoomSnapshot {
  room: Room;
  rules: RuleSnapshot[];
  head: Position;
  /** The `rev` of the last change that affects rights. */
  rightsRev: number;
  /** The position before the first change, that is, at the creation of the room. */
  start: Position;
}
