import { ChatError } from '../../core/errors.ts';
import type { MessageChange } from '../../core/log/change.ts';
import type { Sending, Stored } from './send-request.ts';

type Append = (sending: Sending) => Promise<Stored>;

/** The answer to a message whose client_msg_id is taken: the first message, or `ID_REUSED` where the content differs. */
export function repeated(first: MessageChange, { content }: Sending): Stored {
  if (first.message.content === content) return { change: first, duplicate: true };
  throw new ChatError('ID_REUSED', { field: 'client_msg_id' });
}

/**
 * Repetitions of a message that is still under way wait for its answer, so that no batch holds one client_msg_id twice.
 * Where the first is refused for a reason that need not be theirs, they are judged for themselves.
 */
export function sharingRepetitions(append: Append): Append {
  const underway = new Map<string, { sending: Sending; stored: Promise<Stored> }>();

  return function appendOnce(sending): Promise<Stored> {
    if (sending.client_msg_id === null) return append(sending);
    const key = `${sending.room_id}/${sending.actor.user}/${sending.client_msg_id}`;
    const first = underway.get(key);
    if (first) {
      return first.stored.then(
        ({ change }) => repeated(change, sending),
        (error) => {
          if (first.sending.actor === sending.actor) throw error;
          return appendOnce(sending);
        },
      );
    }
    const stored = append(sending);
    underway.set(key, { sending, stored });
    const done = () => void underway.delete(key);
    stored.then(done, done);
    return stored;
  };
}
