import { can } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import { nilUuid } from '../../core/ids.ts';
import type { AppendResult } from '../../core/log/append-messages.ts';
import type { OperationResult } from '../../core/log/operation.ts';
import type { RoomLog } from '../../core/log/room-log.ts';
import { isDataError } from '../../database/store-errors.ts';
import type { QueuedSend } from './send-request.ts';
import type { QueuedOperation } from './settle-operation.ts';
import type { Batched } from './take-batch.ts';

/** Stores a batch of messages. The results are in the order of the batch. */
export function appendBatch(
  log: Pick<RoomLog, 'append'>,
  batch: readonly Batched<QueuedSend>[],
): Promise<(AppendResult | ChatError)[]> {
  return runBatch(batch, (part) =>
    log.append(
      part.map(({ queued: { room_id, actor, content, client_msg_id }, decision, rights: { rightsRev } }) => ({
        ...{ room_id, emitter: actor.user, content, client_msg_id },
        ...{ isAllowed: can(decision, 'write'), rightsRev },
      })),
    ),
  );
}

/** Applies a batch of operations. The results are in the order of the batch. */
export function applyBatch(
  log: Pick<RoomLog, 'apply'>,
  batch: readonly Batched<QueuedOperation>[],
): Promise<(OperationResult | ChatError)[]> {
  return runBatch(batch, (part) =>
    log.apply(
      part.map(({ queued: { room_id, actor, request }, decision, rights: { room, rightsRev } }) => ({
        room_id,
        can_read: can(decision, 'read'),
        can_write: can(decision, 'write'),
        ...(actor.user === null
          ? { actor: nilUuid, rights_rev: null, can_delete_all: true, can_edit_all: true }
          : {
              ...{ actor: actor.user, rights_rev: rightsRev, can_edit_all: false },
              can_delete_all: room.type === 'group' && can(decision, 'administer'),
            }),
        ...request,
      })),
    ),
  );
}

async function runBatch<B, R>(
  batch: readonly B[],
  store: (part: readonly B[]) => Promise<R[]>,
): Promise<(R | ChatError)[]> {
  try {
    return await store(batch);
  } catch (thrown) {
    const error = ChatError.from(thrown);
    if (!isDataError(thrown) || batch.length === 1) return batch.map(() => error);
    // An entry that the database rejects must not fail the rest of the batch.
    const results: (R | ChatError)[] = [];
    for (const single of batch) results.push(...(await runBatch([single], store)));
    return results;
  }
}
