import type { Position } from '../cursor.ts';
import type { Room } from '../room.ts';
import type { Grant } from './change.ts';

export interface RuleSnapshot extends Grant {
  permissions: string;
  createdAt: string;
  updatedAt: string;
}

/** A room, its rules and the head of its log, all of one moment. */
export interface RoomSnapshot {
  room: Room;
  rules: RuleSnapshot[];
  head: Position;
  /** The `rev` of the last change that bears on rights. */
  rightsRev: number;
  /** Creation, as a position: where the log begins. */
  start: Position;
}
