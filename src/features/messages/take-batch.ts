import type { Decision } from '../../core/authorization.ts';
import type { RoomId } from '../../core/ids.ts';
import type { VersionedRights } from '../../core/log/rights-cache.ts';
import type { QueuedSend } from './send-request.ts';
import type { QueuedOperation } from './settle-operation.ts';

export type Queued = QueuedSend | QueuedOperation;

/** An entry of a batch, with the rights at which it was authorized. */
export interface Batched<Q extends Queued = Queued> {
  queued: Q;
  decision: Decision;
  rights: VersionedRights;
}

export interface BatchLimits {
  /**
   * `maxBatch` limits the messages in one commit. `maxBatchPerRoom` limits how many of them belong to the same room.
   */
  maxBatch: number;
  maxBatchPerRoom: number;
  /** `maxOperations` limits the operations in one commit, because they cost more than plain messages. */
  maxOperations: number;
}

export interface Batch {
  messages: Batched<QueuedSend>[];
  operations: Batched<QueuedOperation>[];
}

const allRights: Decision = { rights: 'rwa', denialReason: null };

/** Events of reactions list all changes, so one entry of the log has a limited number of them. */
const maxReactionsPerEntry = 50;

interface Source {
  /** What is taken is removed from these queues. */
  queuesByRoom: Map<RoomId, Queued[]>;
  rooms: readonly RoomId[];
  /** A room without rights is left alone. */
  rightsByRoom: ReadonlyMap<RoomId, VersionedRights>;
  limits: BatchLimits;
}

/**
 * Takes the plain messages or the other operations at the head of the queue of each room. Fair between rooms: what
 * remains of a room's queue moves behind the other rooms.
 */
export function takeBatch({ queuesByRoom, rooms, rightsByRoom, limits }: Source): Batch {
  const batch: Batch = { messages: [], operations: [] };
  for (const room of rooms) {
    if (batch.messages.length + batch.operations.length >= limits.maxBatch) break;
    const rights = rightsByRoom.get(room);
    if (!rights) continue;
    const queue = queuesByRoom.get(room) ?? [];
    if (queue[0]?.type === 'operation' && batch.operations.length >= limits.maxOperations) continue;
    for (const queued of queue.splice(0, countRun(queue, batch, limits))) {
      const decision = queued.actor.user === null ? allRights : rights.decide(queued.actor);
      if (queued.type === 'message') batch.messages.push({ queued, decision, rights });
      else batch.operations.push({ queued, decision, rights });
    }
    queuesByRoom.delete(room);
    if (queue.length > 0) queuesByRoom.set(room, queue);
  }
  return batch;
}

/** How many entries at the head of the queue are of the same type and fit into the batch. */
function countRun(queue: readonly Queued[], { messages, operations }: Batch, limits: BatchLimits): number {
  const max =
    queue[0]?.type === 'operation'
      ? limits.maxOperations - operations.length
      : Math.min(limits.maxBatchPerRoom, limits.maxBatch - messages.length);
  const touched = new Map<number, number>();
  let count = 0;
  while (count < Math.min(max, queue.length) && queue[count]!.type === queue[0]!.type) {
    const next = queue[count]!;
    if (next.type === 'operation' && !canShareBatch(next, touched)) break;
    count += 1;
  }
  return count;
}

/**
 * Whether a batch may also have this operation. A batch has at most one operation for each message, or up to fifty
 * reactions, which become one entry of the log. `touched` contains the number of reactions in the batch by `seq`, and
 * infinity for a message with another operation.
 */
function canShareBatch({ request }: QueuedOperation, touched: Map<number, number>): boolean {
  if (request.kind === 'send') return true;
  const seqs = request.kind === 'delete' ? request.seqs : [request.seq];
  const max = request.kind === 'react' ? maxReactionsPerEntry : 1;
  if (seqs.some((seq) => (touched.get(seq) ?? 0) >= max || (max === 1 && touched.has(seq)))) return false;
  for (const seq of seqs) {
    touched.set(seq, request.kind === 'react' ? (touched.get(seq) ?? 0) + 1 : Number.POSITIVE_INFINITY);
  }
  return true;
}
