import type { Actor } from '../../core/authorization.ts';
import type { RoomId } from '../../core/ids.ts';
import type { MessageChange } from '../../core/log/change.ts';
import type { OperationRequest, OperationResult, RichContent } from '../../core/log/operation.ts';

export interface SendRequest {
  actor: Actor;
  room_id: RoomId;
  content: string;
  client_msg_id: string | null;
  /** The fields of a message that is more than plain text. */
  extras?: Omit<RichContent, 'content' | 'client_msg_id'> | undefined;
  /** Called when the message is committed, before it is delivered to anybody. */
  onStored?: ((change: MessageChange) => void) | undefined;
}

export interface StoredMessage {
  change: MessageChange;
  duplicate: boolean;
}

/** An edit, a deletion or a reaction. */
export interface WriteRequest {
  actor: Actor;
  room_id: RoomId;
  operation: Exclude<OperationRequest, { kind: 'send' }>;
}

/** The result of an operation that has succeeded. */
export type AppliedOperation = Extract<OperationResult, { outcome: 'edited' | 'deleted' | 'reacted' | 'unchanged' }>;
