import type { RoomId, Uuid } from '../ids.ts';
import type { MessageChange } from './change.ts';

export interface Draft {
  room_id: RoomId;
  emitter: Uuid;
  content: string;
  client_msg_id: string | null;
  /** Whether the emitter may write, by the rules as of `rightsRev`. */
  isAllowed: boolean;
  rightsRev: number;
}

export type AppendResult =
  | { outcome: 'stored'; change: MessageChange }
  | { outcome: 'duplicate'; change: MessageChange }
  /** The rules have changed since `rightsRev`: authorize again. */
  | { outcome: 'stale' }
  /** Another transaction keeps the room locked: retry later. */
  | { outcome: 'busy' }
  | { outcome: 'refused' }
  | { outcome: 'gone' };
