import type { RoomId, Uuid } from '../ids.ts';
import type { MessageChange } from './change.ts';

export interface Draft {
  room_id: RoomId;
  emitter: Uuid;
  content: string;
  client_msg_id: string | null;
  /** Whether the emitter may write by the rules as they were at `judgedAt`. */
  isAllowed: boolean;
  rightsRev: number;
}

export type AppendResult =
  | { outcome: 'stored'; change: MessageChange }
  | { outcome: 'duplicate'; change: MessageChange }
  /** The rules have changed since `judgedAt`: judge again. */
  | { outcome: 'stale' }
  /** Somebody else keeps the room locked: try again in a moment. */
  | { outcome: 'busy' }
  | { outcome: 'refused' }
  | { outcome: 'gone' };
