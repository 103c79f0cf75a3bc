import type { Actor } from '../../core/authorization.ts';
import { formatCursor } from '../../core/cursor.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomRef } from '../../core/ids.ts';
import type { MessageChange } from '../../core/log/change.ts';
import type { Draft, Message } from '../../core/log/message.ts';
import { type AppContext, resolveRoomId } from '../app-context.ts';

export interface SentMessage {
  message: Message;
  duplicate: boolean;
  rev: number;
  cursor: string;
}

/**
 * Resolves when the message has its place in the order; `stored` when it is committed, or refused. A sender who keeps
 * his messages in order waits for the first only.
 */
export async function sendMessage(
  context: AppContext,
  actor: Actor,
  draft: Draft & { room_id: RoomRef },
  onStored?: (change: MessageChange) => void,
): Promise<{ stored: Promise<SentMessage> }> {
  const { maxContentBytes } = context.settings;
  const bytes = Buffer.byteLength(draft.content);
  if (maxContentBytes > 0 && bytes > maxContentBytes) {
    const message = `is ${bytes} bytes of UTF-8, at most ${maxContentBytes} are taken`;
    throw new ChatError('TOO_LARGE', { field: 'content', message });
  }
  if (context.isDraining) throw new ChatError('UNAVAILABLE', { message: 'The server is shutting down, reconnect' });
  await context.sendRate.consume(actor.user);
  const room_id = await resolveRoomId(context, draft.room_id);
  const { content, client_msg_id = null } = draft;
  const stored = context.queue.append({ actor, room_id, content, client_msg_id, onStored });
  return { stored: stored.then(({ change, duplicate }) => toSentMessage(change, duplicate)) };
}

function toSentMessage(change: MessageChange, duplicate: boolean): SentMessage {
  return { message: change.message, duplicate, rev: change.rev, cursor: formatCursor(change) };
}
