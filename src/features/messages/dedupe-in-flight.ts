import { ChatError } from '../../core/errors.ts';
import type { MessageChange } from '../../core/log/change.ts';
import type { Message } from '../../core/log/message.ts';
import { messageFlags } from '../../core/log/room-log-statements.ts';
import type { SendRequest, StoredMessage } from './send-request.ts';

type Append = (request: SendRequest) => Promise<StoredMessage>;

/**
 * The answer to a retried message: the stored message. Throws `ID_REUSED` if the retry has other contents. After an edit
 * or a deletion the first contents are gone, so any retry is accepted.
 */
export function toDuplicate(first: MessageChange, request: SendRequest): StoredMessage {
  if (first.message.version !== first.rev || hasSameContents(first.message, request))
    return { change: first, duplicate: true };
  throw new ChatError('ID_REUSED', { field: 'client_msg_id' });
}

function hasSameContents(message: Message, { content, extras }: SendRequest): boolean {
  const { reply_to = null, thread = null, custom, mentions = [], mention_room = false } = message;
  if (message.content !== content || reply_to !== (extras?.reply_to ?? null) || thread !== (extras?.thread ?? null))
    return false;
  if ((custom === undefined ? null : JSON.stringify(custom)) !== (extras?.custom ?? null)) return false;
  const flags = extras?.flags ?? 0;
  return (
    mentions.join() === (extras?.mentions ?? []).join() && mention_room === ((flags & messageFlags.mentionRoom) !== 0)
  );
}

/**
 * Retries of a message that is not stored yet wait for its result, so that no batch contains a client_msg_id twice. If
 * the first attempt fails, a retry from another connection is sent for itself: its token may have other rights.
 */
export function dedupeInFlight(append: Append): Append {
  const inFlight = new Map<string, { request: SendRequest; stored: Promise<StoredMessage> }>();

  return function appendOnce(request): Promise<StoredMessage> {
    if (request.client_msg_id === null) return append(request);
    const key = `${request.room_id}/${request.actor.user}/${request.client_msg_id}`;
    const first = inFlight.get(key);
    if (first) {
      return first.stored.then(
        ({ change }) => toDuplicate(change, request),
        (error) => {
          if (first.request.actor === request.actor) throw error;
          return appendOnce(request);
        },
      );
    }
    const stored = append(request);
    inFlight.set(key, { request, stored });
    const done = () => void inFlight.delete(key);
    stored.then(done, done);
    return stored;
  };
}
