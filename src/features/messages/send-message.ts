import type { Actor } from '../../core/authorization.ts';
import type { SentMessage } from '../../core/connections.ts';
import { formatCursor } from '../../core/cursor.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomRef } from '../../core/ids.ts';
import type { MessageChange } from '../../core/log/change.ts';
import { messageFlags } from '../../core/log/message.ts';
import { type AppContext, resolveRoomId } from '../app-context.ts';
import type { Draft } from './draft.ts';
import type { SendRequest } from './send-request.ts';
import { assertAcceptsWrites } from './write.ts';

/**
 * Sends a message. Resolves as soon as it is queued, because its position in the order of messages is fixed then.
 * `stored` settles when the message has been committed or rejected. Callers that send several messages in order need
 * not wait for `stored`.
 */
export async function sendMessage(
  context: AppContext,
  actor: Actor,
  draft: Draft & { room_id: RoomRef },
  onStored?: (change: MessageChange) => void,
): Promise<{ stored: Promise<SentMessage> }> {
  assertContentSize(context, draft);
  assertAcceptsWrites(context);
  await context.sendRate.consume(actor.user);
  const room_id = await resolveRoomId(context, draft.room_id);
  const { content } = draft;
  const client_msg_id = draft.client_msg_id ?? null;
  const stored = context.queue.append({ actor, room_id, content, client_msg_id, extras: toExtras(draft), onStored });
  return { stored: stored.then(({ change, duplicate }) => toSentMessage(change, duplicate)) };
}

/** The fields of a message that is more than plain text; undefined for plain text, which is stored faster. */
function toExtras(draft: Draft): SendRequest['extras'] {
  const { reply_to, thread, mentions, mention_room, custom, silent } = draft;
  const isPlain = reply_to == null && thread == null && !mentions?.length && custom == null && !mention_room && !silent;
  return isPlain ? undefined : toAllExtras(draft);
}

export function toAllExtras({ reply_to, thread, mentions, mention_room, custom, silent }: Draft) {
  return {
    reply_to: reply_to ?? null,
    thread: thread ?? null,
    mentions: mentions ?? [],
    custom: custom == null ? null : JSON.stringify(custom),
    flags: (silent ? messageFlags.silent : 0) | (mention_room ? messageFlags.mentionRoom : 0),
  };
}

/**
 * Throws `TOO_LARGE` if the content or the custom data has more bytes than the settings allow. `path` leads to the fields,
 * such as `messages.0.`.
 */
export function assertContentSize(
  { settings }: Pick<AppContext, 'settings'>,
  { content, custom }: { content?: string | undefined; custom?: object | null | undefined },
  path = '',
): void {
  assertBytes(`${path}content`, content ?? '', settings.maxContentBytes);
  assertBytes(`${path}custom`, custom == null ? '' : JSON.stringify(custom), settings.maxCustomBytes);
}

function assertBytes(field: string, text: string, max: number): void {
  const bytes = Buffer.byteLength(text);
  if (max === 0 || bytes <= max) return;
  const message = `has ${bytes} bytes of UTF-8, but at most ${max} are allowed`;
  throw new ChatError('TOO_LARGE', { field, message });
}

function toSentMessage(change: MessageChange, duplicate: boolean): SentMessage {
  return { message: change.message, duplicate, rev: change.rev, cursor: formatCursor(change) };
}
