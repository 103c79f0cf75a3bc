import { type Actor, can, type Decision, type service, toDenialCode } from '../../core/authorization.ts';
import type { RoomBus } from '../../core/bus.ts';
import { ChatError, type ErrorCode } from '../../core/errors.ts';
import type { RoomId } from '../../core/ids.ts';
import type { MessageChange } from '../../core/log/change.ts';
import type { Message } from '../../core/log/message.ts';
import type { MessageAt, OperationProblem, OperationRequest, OperationResult } from '../../core/log/operation.ts';
import type { RightsCache } from '../../core/log/rights-cache.ts';
import type { SendEvents } from './send-request.ts';

export interface QueuedOperation {
  type: 'operation';
  actor: Actor | typeof service;
  room_id: RoomId;
  request: OperationRequest;
  /** Called when a message is committed, before it is delivered to anybody. */
  onStored?: ((change: MessageChange) => void) | undefined;
  resolve(result: SettledOperation): void;
  reject(error: ChatError): void;
  staleCount: number;
  queuedAt: number;
  /** An upper bound of the memory that the operation needs. */
  bytes: number;
}

/** The result of an operation that has not failed. */
export type SettledOperation = Extract<
  OperationResult,
  { outcome: 'sent' | 'duplicate' | 'edited' | 'deleted' | 'reacted' | 'unchanged' }
>;

interface Collaborators {
  rights: Pick<RightsCache, 'invalidate'>;
  bus: Pick<RoomBus, 'publish'>;
  events: Pick<SendEvents, 'stored'> | undefined;
}

export type SettleOperation = (
  queued: QueuedOperation,
  decision: Decision,
  result: OperationResult | ChatError,
  published: Set<string>,
) => void;

/**
 * Publishes the changes of a batch, and answers every operation with its result. `published` has the reactions of the
 * batch that are published already, because all reactions to a message share one change.
 */
export function createSettleOperation({ rights, bus, events }: Collaborators): SettleOperation {
  function settle(
    queued: QueuedOperation,
    decision: Decision,
    result: OperationResult | ChatError,
    published: Set<string>,
  ): void {
    if (result instanceof ChatError) return queued.reject(result);
    const { room_id } = queued;
    switch (result.outcome) {
      case 'sent': {
        const change = toMessageChange(room_id, result);
        queued.onStored?.(change);
        bus.publish(change);
        queued.resolve(result);
        return events?.stored((performance.now() - queued.queuedAt) / 1_000);
      }
      case 'edited':
        publishRevision(room_id, result);
        return queued.resolve(result);
      case 'deleted':
        for (const message of result.messages) publishRevision(room_id, message);
        return queued.resolve(result);
      case 'reacted': {
        const { rev, at, seq, changes } = result;
        const reactions = result.reactions.map(({ emoji, count }) => ({ emoji, count }));
        const key = `${room_id}/${rev}`;
        if (!published.has(key)) bus.publish({ kind: 'reactions', room_id, rev, at, seq, reactions, changes });
        published.add(key);
        return queued.resolve(result);
      }
      case 'duplicate':
        return queued.resolve(result);
      case 'unchanged':
        return queued.resolve(can(decision, 'read') ? result : hideReactions(result));
      case 'refused':
        return queued.reject(new ChatError(toDenialCode(decision)));
      case 'gone':
        rights.invalidate(room_id);
        return queued.reject(new ChatError('NOT_FOUND'));
      case 'stale':
      case 'busy':
        return queued.reject(new ChatError('UNAVAILABLE'));
      default:
        return queued.reject(toError(result));
    }
  }

  function publishRevision(room_id: RoomId, { rev, at, message, root }: MessageAt): void {
    const { reactions: _, replies: __, ...content } = message;
    bus.publish({ kind: 'revision', room_id, rev, at, message: content, ...(root && { root }) });
  }

  return (queued, decision, result, published) => {
    try {
      settle(queued, decision, result, published);
    } catch (error) {
      // A callback may throw as well. The rest of the batch must still be answered.
      queued.reject(ChatError.from(error));
    }
  };
}

/** A retry of a user who can no longer read succeeds, but it must not show them what others have done since. */
function hideReactions<R extends Extract<OperationResult, { outcome: 'unchanged' }>>(result: R): R {
  const { reactions: _, replies: __, ...message } = result.message ?? ({} as Message);
  return { ...result, ...(result.message && { message }), ...(result.reactions && { reactions: [] }) };
}

export function toMessageChange(room_id: RoomId, { rev, at, message, root }: MessageAt): MessageChange {
  return { kind: 'message', room_id, rev, at, message, ...(root && { root }) };
}

const problems: Record<OperationProblem, { code: ErrorCode; message?: string }> = {
  no_message: { code: 'NO_MESSAGE' },
  is_deleted: { code: 'DELETED' },
  nested: { code: 'BAD_REQUEST', message: 'is a reply itself: give the root of its thread' },
  not_own: { code: 'FORBIDDEN', message: 'is a message of another user' },
  closed: { code: 'EDIT_CLOSED' },
  conflict: { code: 'CONFLICT' },
  empty: { code: 'BAD_REQUEST', message: 'must not be empty' },
  too_many_reactions: { code: 'TOO_MANY_REACTIONS' },
};

function toError({
  outcome,
  field,
  seq,
  message: current,
}: {
  outcome: OperationProblem;
  field: string;
  seq?: number;
  message?: Message;
}): ChatError {
  const { code, message } = problems[outcome];
  const text = seq === undefined ? message : `The room has no message ${seq}`;
  return new ChatError(code, { field, ...(text !== undefined && { message: text }), ...(current && { current }) });
}
