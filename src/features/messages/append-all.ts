import { setTimeout as sleep } from 'node:timers/promises';
import type { RoomBus } from '../../core/bus.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomId } from '../../core/ids.ts';
import type { AppendAllProblem, AppendAllResult, ServiceDraft } from '../../core/log/append-all.ts';
import type { RoomLog } from '../../core/log/room-log.ts';
import { type SendEvents, type StoredMessage, toVersionedChange } from './send-request.ts';

interface Collaborators {
  log: Pick<RoomLog, 'appendAll'>;
  bus: Pick<RoomBus, 'publish'>;
  events?: SendEvents | undefined;
}

/** Stores all of the messages in one commit, or none. Throws the error of the first message that cannot be stored. */
export type AppendAll = (room: RoomId, drafts: readonly ServiceDraft[]) => Promise<StoredMessage[]>;

/** How long the messages are retried while another transaction keeps the room locked. */
const maxWaitMs = 10_000;
const minDelayMs = 20;
const maxDelayMs = 500;

/** Bypasses the send queue, because each batch of the backend is a separate commit. */
export function createAppendAll({ log, bus, events }: Collaborators): AppendAll {
  async function appendUnlessBusy(room: RoomId, drafts: readonly ServiceDraft[]): Promise<AppendAllResult> {
    const until = performance.now() + maxWaitMs;
    for (let delayMs = minDelayMs; ; delayMs = Math.min(2 * delayMs, maxDelayMs)) {
      const result = await log.appendAll(room, drafts);
      if (result.outcome !== 'busy' || performance.now() + delayMs > until) return result;
      await sleep(delayMs);
    }
  }

  return async (room, drafts) => {
    const startedAt = performance.now();
    const result = await appendUnlessBusy(room, drafts);
    const seconds = (performance.now() - startedAt) / 1_000;
    events?.committed(drafts.length, seconds);
    switch (result.outcome) {
      case 'busy':
        throw new ChatError('UNAVAILABLE');
      case 'gone':
        throw new ChatError('NOT_FOUND');
      case 'refused':
        throw toError(result);
      case 'stored':
        return result.messages.map(({ change, isDuplicate }) => {
          if (isDuplicate) {
            events?.deduplicated();
            return { change: toVersionedChange(change), duplicate: true };
          }
          bus.publish(change);
          events?.stored(seconds);
          return { change, duplicate: false };
        });
    }
  };
}

type Refusal = Extract<AppendAllResult, { outcome: 'refused' }>;

function toError({ index, problem, field: name, changed }: Refusal): ChatError {
  const field = `messages.${index}.${name}`;
  const errors: Record<AppendAllProblem, () => ChatError> = {
    reused: () => new ChatError('ID_REUSED', { field }),
    no_message: () => new ChatError('NO_MESSAGE', { field }),
    is_deleted: () => new ChatError('DELETED', { field }),
    nested: () => new ChatError('BAD_REQUEST', { field, message: 'is a reply itself: give the root of its thread' }),
    future: () => new ChatError('BAD_REQUEST', { field, message: 'must not be in the future' }),
    too_early: () => {
      const message = `must not be before ${new Date(changed!).toISOString()}, the last change of the room: import messages in the order of their times`;
      return new ChatError('OUT_OF_ORDER', { field, message });
    },
  };
  return errors[problem]();
}
