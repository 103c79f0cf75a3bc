import type { Actor } from '../../core/authorization.ts';
import type { SentMessage } from '../../core/connections.ts';
import { formatCursor } from '../../core/cursor.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomRef } from '../../core/ids.ts';
import type { MessageChange } from '../../core/log/change.ts';
import { type AppContext, resolveRoomId } from '../app-context.ts';
import type { Draft } from './contract.ts';

/**
 * Resolves as soon as the message is queued: later messages then follow it. `stored` settles when the message has been
 * committed or rejected. Callers that send several messages in order need not wait for `stored`.
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
    const message = `has ${bytes} bytes of UTF-8, but at most ${maxContentBytes} are allowed`;
    throw new ChatError('TOO_LARGE', { field: 'content', message });
  }
  if (context.isDraining)
    throw new ChatError('UNAVAILABLE', { message: 'The server is shutting down, reconnect and retry' });
  await context.sendRate.consume(actor.user);
  const room_id = await resolveRoomId(context, draft.room_id);
  const { content, client_msg_id = null } = draft;
  const stored = context.queue.append({ actor, room_id, content, client_msg_id, onStored });
  return { stored: stored.then(({ change, duplicate }) => toSentMessage(change, duplicate)) };
}

function toSentMessage(change: MessageChange, duplicate: boolean): SentMessage {
  return { message: change.message, duplicate, rev: change.rev, cursor: formatCursor(change) };
}
