import type { Actor } from '../../core/authorization.ts';
import type { RoomId } from '../../core/ids.ts';
import type { MessageChange } from '../../core/log/change.ts';

export interface SendRequest {
  actor: Actor;
  room_id: RoomId;
  content: string;
  client_msg_id: string | null;
  /** Called when the message is committed, before it is delivered to anybody. */
  onStored?: ((change: MessageChange) => void) | undefined;
}

export interface StoredMessage {
  change: MessageChange;
  duplicate: boolean;
}
