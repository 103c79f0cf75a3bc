import { ms } from '../../database/epoch-ms.ts';
import type { Uuid } from '../ids.ts';
import { formatTimestamp } from '../timestamp.ts';
import type { MessageChange, RevisionChange } from './change.ts';
import {
  type CustomData,
  type Message,
  messageFlags,
  type ReactionCount,
  type ReactionDelta,
  type Replies,
} from './message.ts';

/** `m` is the alias of the table, or an expression of its row type. */
export const listMessageColumns = (m: string) => `${m}.room_id::float8 as room_id, ${m}.id::float8 as id,
  ${m}.seq::float8 as seq, ${m}.rev::float8 as rev, ${m}.emitter::text as emitter, ${m}.content, ${m}.client_msg_id,
  ${ms(`${m}.created_at`)} as at, ${ms(`${m}.updated_at`)} as updated`;
/** The columns of a message, including the fields that only some messages have, but without `mine`. */
export const wholeMessage = `${listMessageColumns('m')}, message_extras(m, null) as extras`;
export const rootReplies = `case when m.thread is not null then thread_replies(m.room_id, m.thread) end as root_replies`;

export interface MessageRow {
  room_id: number;
  id: number;
  seq: number;
  rev: number;
  emitter: Uuid;
  content: string;
  client_msg_id: string | null;
  at: number;
  updated: number;
  /** Null or undefined if the message has none. */
  extras?: MessageExtras | null;
  /** If the message is a reply, the replies to its root. */
  root_replies?: Replies | null;
}

/** The fields that only some messages have, as the SQL function `message_extras` returns them. Times are in ms. */
interface MessageExtras {
  version?: number;
  reply_to?: number;
  thread?: number;
  mentions?: Uuid[];
  custom?: string;
  flags?: number;
  edited?: number;
  deleted?: number;
  deleted_by?: Uuid;
  reactions?: ReactionCount[];
  replies?: Replies;
}

export function toMessage(row: MessageRow): Message {
  const { id, room_id, seq, emitter, content, client_msg_id } = row;
  const message = {
    id,
    room_id,
    seq,
    emitter,
    content,
    client_msg_id,
    createdAt: formatTimestamp(row.at),
    updatedAt: formatTimestamp(row.updated),
    version: row.rev,
  };
  return row.extras ? addExtras(message, row.extras) : message;
}

function addExtras(message: Message, extras: MessageExtras): Message {
  const {
    version,
    reply_to,
    thread,
    mentions,
    custom,
    flags = 0,
    edited,
    deleted,
    deleted_by,
    reactions,
    replies,
  } = extras;
  return {
    ...message,
    ...(version !== undefined && { version }),
    ...(reply_to !== undefined && { reply_to }),
    ...(thread !== undefined && { thread }),
    ...(mentions && { mentions }),
    ...(flags & messageFlags.mentionRoom && { mention_room: true as const }),
    ...(custom !== undefined && { custom: JSON.parse(custom) as CustomData }),
    ...(flags & messageFlags.silent && { silent: true as const }),
    ...(edited !== undefined && { editedAt: new Date(edited).toISOString() }),
    ...(deleted !== undefined && { deletedAt: new Date(deleted).toISOString() }),
    ...(deleted_by !== undefined && { deleted_by }),
    ...(reactions && { reactions }),
    ...(replies && replies.count > 0 && { replies }),
  };
}

export function toMessageChange(row: MessageRow): MessageChange {
  const change = { kind: 'message', room_id: row.room_id, rev: row.rev, at: row.at, message: toMessage(row) } as const;
  return addRoot(change, row);
}

/** Adds the replies of the root if the message is a reply. */
function addRoot<C extends MessageChange | RevisionChange>(change: C, { extras, root_replies }: MessageRow): C {
  if (extras?.thread === undefined || !root_replies) return change;
  return { ...change, root: { seq: extras.thread, replies: root_replies } };
}

interface EntryPosition {
  rev: number;
  at: number;
}

/**
 * Converts the first entry of a message in a replay. The change contains the current state of the message. It contains
 * reactions and replies even if the message has none, because the replay skips the later entries of the message.
 */
export function toReplayedRevision(
  row: MessageRow,
  { rev, at }: EntryPosition,
  changes: readonly ReactionDelta[],
): RevisionChange {
  const message = { reactions: [], replies: { count: 0, last_seq: 0 }, ...toMessage(row) };
  const change: RevisionChange = { kind: 'revision', room_id: row.room_id, rev, at, message };
  return addRoot(changes.length > 0 ? { ...change, changes: [...changes] } : change, row);
}
