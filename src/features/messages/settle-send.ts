import { type Decision, toDenialCode } from '../../core/authorization.ts';
import type { RoomBus } from '../../core/bus.ts';
import { ChatError } from '../../core/errors.ts';
import type { AppendResult } from '../../core/log/draft.ts';
import type { RightsCache } from '../../core/log/rights-cache.ts';
import { toDuplicate } from './dedupe-in-flight.ts';
import type { SendRequest, StoredMessage } from './send-request.ts';

export interface QueuedSend extends SendRequest {
  type: 'message';
  resolve(stored: StoredMessage): void;
  reject(error: ChatError): void;
  staleCount: number;
  queuedAt: number;
  /** An upper bound of its memory: the content as UTF-8, and an entry of the queue with its promise. */
  bytes: number;
}

export interface SendEvents {
  /** A batch was sent to the database, successfully or not. */
  committed(messages: number, seconds: number): void;
  /** A message was stored, delivered on this node and acknowledged, this long after it was queued. */
  stored(seconds: number): void;
  /** A retried message was answered with the stored one. */
  deduplicated(): void;
}

interface Collaborators {
  rights: RightsCache;
  bus: RoomBus;
  events: SendEvents | undefined;
}

export type SettleSend = (queued: QueuedSend, decision: Decision, result: AppendResult | ChatError) => void;

/** Publishes stored messages, and answers every message with its result. */
export function createSettleSend({ rights, bus, events }: Collaborators): SettleSend {
  function settle(queued: QueuedSend, decision: Decision, result: AppendResult | ChatError): void {
    if (result instanceof ChatError) return queued.reject(result);
    switch (result.outcome) {
      case 'stored':
        queued.onStored?.(result.change);
        bus.publish(result.change);
        queued.resolve({ change: result.change, duplicate: false });
        return events?.stored((performance.now() - queued.queuedAt) / 1_000);
      case 'duplicate':
        queued.resolve(toDuplicate(result.change, queued));
        return events?.deduplicated();
      case 'refused':
        return queued.reject(new ChatError(toDenialCode(decision)));
      case 'gone':
        rights.invalidate(queued.room_id);
        return queued.reject(new ChatError('NOT_FOUND'));
      case 'stale':
      case 'busy':
        return queued.reject(new ChatError('UNAVAILABLE'));
    }
  }

  return (queued, decision, result) => {
    try {
      settle(queued, decision, result);
    } catch (error) {
      // Also an exception of a callback: it must not leave the rest of the batch without an answer.
      queued.reject(ChatError.from(error));
    }
  };
}
