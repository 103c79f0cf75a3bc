import type { RoomId, Uuid } from '../ids.ts';
import type { MessageChange } from './change.ts';

export interface Draft {
  room_id: RoomId;
  emitter: Uuid;
  content: string;
  client_msg_id: string | null;
  /** Whether the emitter may write in the room, according to its rules as of `rightsRev`. */
  isAllowed: boolean;
  rightsRev: number;
}

export type AppendResult =
  | { outcome: 'stored'; change: MessageChange }
  | { outcome: 'duplicate'; change: MessageChange }
  /** The rules have changed since `rightsRev`. The caller has to authorize again. */
  | { outcome: 'stale' }
  /** Another transaction keeps the room locked. The caller has to retry later. */
  | { outcome: 'busy' }
  | { outcome: 'refused' }
  | { outcome: 'gone' };
