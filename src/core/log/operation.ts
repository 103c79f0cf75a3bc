import type { RoomId, Uuid } from '../ids.ts';
import type { Message, ReactionCount, ReactionDelta, Root } from './message.ts';

interface OperationBase {
  room_id: RoomId;
  actor: Uuid;
  /** What the actor may do in the room, according to its rules as of `rights_rev`. */
  can_read: boolean;
  can_write: boolean;
  /** Whether the actor may delete the messages of others. */
  can_delete_all: boolean;
  /** Whether the actor may edit the messages of others. */
  can_edit_all: boolean;
  /** Null if what the actor may do does not depend on rules. */
  rights_rev: number | null;
}

/** The fields of a message that is more than plain text. `custom` is JSON as text. */
export interface RichContent {
  content: string;
  client_msg_id: string | null;
  reply_to: number | null;
  thread: number | null;
  mentions: readonly Uuid[];
  custom: string | null;
  flags: number;
}

export type OperationRequest =
  | ({ kind: 'send' } & RichContent)
  /**
   * Absent fields remain unchanged. `base` is the version from which the edit was made. `edit_seconds: 0` means no
   * limit.
   */
  | {
      kind: 'edit';
      seq: number;
      content?: string;
      custom?: string | null;
      mentions?: readonly Uuid[];
      mention_room?: boolean;
      base?: number;
      edit_seconds: number;
    }
  | { kind: 'delete'; seqs: readonly number[] }
  | { kind: 'react'; seq: number; emoji: string; added: boolean };

/** An operation on the messages of a room, with the authorization of its actor. */
export type Operation = OperationBase & OperationRequest;

interface At {
  rev: number;
  /** The commit time in ms. */
  at: number;
}

export interface MessageAt extends At {
  message: Message;
  root?: Root | undefined;
}

export type OperationResult =
  | ({ outcome: 'sent' } & MessageAt)
  | ({ outcome: 'duplicate' } & MessageAt)
  | ({ outcome: 'edited' } & MessageAt)
  /** The tombstones, each with its `rev`. */
  | ({ outcome: 'deleted'; messages: MessageAt[] } & At)
  /**
   * `changes` lists all reactions to this message that the batch has added or removed. Results of one entry of the log
   * have the same `rev`.
   */
  | ({ outcome: 'reacted'; seq: number; reactions: ReactionCount[]; changes: ReactionDelta[] } & At)
  /** The operation has no effect, for example because it is a retry. */
  | ({ outcome: 'unchanged'; message?: Message; reactions?: ReactionCount[] } & At)
  /** The rules have changed since `rights_rev`. The caller has to authorize again. */
  | { outcome: 'stale' }
  /** Another transaction keeps the room locked. The caller has to retry later. */
  | { outcome: 'busy' }
  | { outcome: 'gone' }
  /** The rights of the actor do not allow it. */
  | { outcome: 'refused' }
  /** `field` names the field of the request that caused the problem. */
  | { outcome: OperationProblem; field: string; seq?: number; message?: Message };

export type OperationProblem =
  | 'no_message'
  | 'is_deleted'
  | 'nested'
  | 'not_own'
  | 'closed'
  | 'conflict'
  | 'empty'
  | 'too_many_reactions';
