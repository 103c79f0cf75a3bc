import type { Decision } from '../../core/authorization.ts';
import type { RoomBus } from '../../core/bus.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomId } from '../../core/ids.ts';
import { LockBackoff } from '../../core/log/lock-backoff.ts';
import type { RightsCache, VersionedRights } from '../../core/log/rights-cache.ts';
import type { RoomLog } from '../../core/log/room-log.ts';
import {
  type AppliedOperation,
  createSettleSend,
  dedupeInFlight,
  type QueuedSend,
  type SendEvents,
  type SendRequest,
  type StoredMessage,
  toDuplicate,
  type WriteRequest,
} from './send-request.ts';
import {
  createSettleOperation,
  type QueuedOperation,
  type SettledOperation,
  toMessageChange,
} from './settle-operation.ts';
import { appendBatch, applyBatch } from './store-batch.ts';
import { type Batched, type BatchLimits, type Queued, takeBatch } from './take-batch.ts';

export interface SendQueue {
  /** Messages and other operations in a room are stored in the order of these calls. */
  append(request: SendRequest): Promise<StoredMessage>;
  apply(request: WriteRequest): Promise<AppliedOperation>;
  /** Resolves when everything that is queued has been stored or rejected. */
  settled(): Promise<void>;
  readonly size: number;
  /** The `size` at which the queue rejects messages. */
  readonly max: number;
}

interface Limits extends BatchLimits {
  /** `maxMessages` and `maxBytes` limit all queued messages together. */
  maxMessages: number;
  maxBytes: number;
}

const defaultLimits: Limits = {
  maxMessages: 20_000,
  maxBytes: 64 * 1024 * 1024,
  maxBatch: 1_000,
  maxBatchPerRoom: 250,
  maxOperations: 200,
};
/** An upper bound of the memory that a queued message needs in addition to its content. */
const entryBytes = 512;
const maxAuthorizations = 20;
/** How long a message is retried while another transaction keeps the room locked. */
const maxWaitMs = 10_000;

interface Collaborators {
  log: RoomLog;
  rights: RightsCache;
  bus: RoomBus;
  events?: SendEvents | undefined;
  /**
   * Whether results are published and acknowledged only after the next commit has begun. A database in another process works
   * on that commit meanwhile. With a database in this process, the acknowledgements would have to wait for the next commit.
   */
  overlapsCommits: boolean;
}

/**
 * Commits all messages that arrived during the previous commit, in one transaction. The queue authorizes senders with
 * cached rules. The log checks under the room's lock that these rules are current. If they are not, the queue
 * authorizes again.
 */
export function createSendQueue(
  { log, rights, bus, events, overlapsCommits }: Collaborators,
  limits: Limits = defaultLimits,
): SendQueue {
  const queuesByRoom = new Map<RoomId, Queued[]>();
  let size = 0;
  let bytes = 0;
  let isRunning = false;
  let currentRun: Promise<void> = Promise.resolve();
  const backoff = new LockBackoff();
  /** Functions that publish and acknowledge the results of the previous commit, if commits overlap. */
  let settlements: (() => void)[] = [];
  /** A commit has up to two statements, one for messages and one for operations. */
  let runningStatements = 0;
  /** Ends the wait of `backoffOrArrival`, if it is waiting. */
  let onArrival = () => {};
  const settleSend = createSettleSend({ rights, bus, events });
  const settleOperation = createSettleOperation({ rights, bus, events });

  async function append(request: SendRequest): Promise<StoredMessage> {
    const { extras, ...plain } = request;
    if (!extras) {
      return enqueue<StoredMessage>(Buffer.byteLength(plain.content), (entry) => ({
        type: 'message',
        ...plain,
        ...entry,
      }));
    }
    const { actor, room_id, content, client_msg_id, onStored } = plain;
    const operation = { kind: 'send' as const, content, client_msg_id, ...extras };
    const result = await enqueueOperation({ actor, room_id, request: operation, onStored });
    if (result.outcome === 'sent') return { change: toMessageChange(room_id, result), duplicate: false };
    if (result.outcome !== 'duplicate') throw new Error(`A message was answered with "${result.outcome}"`);
    events?.deduplicated();
    return toDuplicate(toMessageChange(room_id, result), request);
  }

  async function apply({ actor, room_id, operation }: WriteRequest): Promise<AppliedOperation> {
    const result = await enqueueOperation({ actor, room_id, request: operation });
    if (result.outcome === 'sent' || result.outcome === 'duplicate') throw new Error('Only a message can be sent');
    return result;
  }

  function enqueueOperation(
    operation: Pick<QueuedOperation, 'actor' | 'room_id' | 'request' | 'onStored'>,
  ): Promise<SettledOperation> {
    const { content, custom } = operation.request as { content?: string; custom?: string | null };
    return enqueue<SettledOperation>(Buffer.byteLength(content ?? '') + Buffer.byteLength(custom ?? ''), (entry) => ({
      type: 'operation',
      ...operation,
      ...entry,
    }));
  }

  interface Entry<T> {
    resolve: (result: T) => void;
    reject: (error: ChatError) => void;
    staleCount: number;
    queuedAt: number;
    bytes: number;
  }

  function enqueue<T>(contentBytes: number, createQueued: (entry: Entry<T>) => Queued): Promise<T> {
    if (size >= limits.maxMessages || bytes >= limits.maxBytes) {
      const message = 'The server has too many messages in its queue, retry later';
      return Promise.reject(new ChatError('UNAVAILABLE', { message, retryAfterMs: 1_000 }));
    }
    const settled = new Promise<T>((resolve, reject) => {
      const queuedBytes = contentBytes + entryBytes;
      bytes += queuedBytes;
      const queued = createQueued({
        ...{ resolve, reject, staleCount: 0, queuedAt: performance.now(), bytes: queuedBytes },
      });
      const queue = queuesByRoom.get(queued.room_id);
      if (queue) queue.push(queued);
      else queuesByRoom.set(queued.room_id, [queued]);
    });
    size += 1;
    onArrival();
    if (!isRunning) currentRun = run();
    return settled;
  }

  async function run(): Promise<void> {
    isRunning = true;
    try {
      while (queuesByRoom.size > 0 || settlements.length > 0) await runOnce();
    } finally {
      // Must be in the same tick in which the queue becomes empty. Otherwise the next message would not start a run.
      isRunning = false;
    }
  }

  async function runOnce(): Promise<void> {
    const settlePrevious = settlements;
    settlements = [];
    // All messages of one tick share a commit. The queue waits no longer, because that would delay messages.
    if (settlePrevious.length === 0) await endOfTick();
    const now = Date.now();
    const readyRooms = [...queuesByRoom.keys()]
      .filter((room) => backoff.getRetryAt(room) <= now)
      .slice(0, limits.maxBatch);
    const committed = readyRooms.length > 0 ? commitBatch(readyRooms) : undefined;
    // Waits until the statement of the new commit has been sent.
    if (committed && settlePrevious.length > 0) await endOfTick();
    for (const settle of settlePrevious) settle();
    if (committed) await committed;
    else if (settlePrevious.length === 0) await backoffOrArrival(now);
  }

  async function commitBatch(readyRooms: readonly RoomId[]): Promise<void> {
    let rightsByRoom: Map<RoomId, VersionedRights>;
    try {
      rightsByRoom = await rights.load(readyRooms);
    } catch (error) {
      for (const room of readyRooms) rejectRoom(room, ChatError.from(error));
      return;
    }
    for (const room of readyRooms) if (!rightsByRoom.has(room)) rejectRoom(room, new ChatError('NOT_FOUND'));
    const { messages, operations } = takeBatch({ queuesByRoom, rooms: readyRooms, rightsByRoom, limits });
    const startedAt = performance.now();
    // A room is in at most one of the two batches, so they do not wait for each other's locks.
    runningStatements = Number(messages.length > 0) + Number(operations.length > 0);
    await Promise.all([
      messages.length > 0 && storeMessages(messages, startedAt),
      operations.length > 0 && applyOperations(operations, startedAt),
    ]);
  }

  async function storeMessages(batch: readonly Batched<QueuedSend>[], startedAt: number): Promise<void> {
    const results = await appendBatch(log, batch);
    events?.committed(batch.length, (performance.now() - startedAt) / 1_000);
    finishBatch(batch, results, settleSend);
  }

  async function applyOperations(batch: readonly Batched<QueuedOperation>[], startedAt: number): Promise<void> {
    const results = await applyBatch(log, batch);
    events?.committed(batch.length, (performance.now() - startedAt) / 1_000);
    const published = new Set<string>();
    finishBatch(batch, results, (queued, decision, result) => settleOperation(queued, decision, result, published));
  }

  /** Called if all queued rooms are locked. Waits until the first of them may be retried or a message arrives. */
  async function backoffOrArrival(now: number): Promise<void> {
    const nextRetryAt = Math.min(...[...queuesByRoom.keys()].map((room) => backoff.getRetryAt(room)));
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      onArrival = resolve;
      timer = setTimeout(resolve, Math.max(1, nextRetryAt - now));
    });
    clearTimeout(timer);
    onArrival = () => {};
  }

  function rejectRoom(room: RoomId, error: ChatError): void {
    const queue = queuesByRoom.get(room) ?? [];
    queuesByRoom.delete(room);
    for (const queued of queue) release(queued).reject(error);
  }

  function release<Q extends Queued>(queued: Q): Q {
    size -= 1;
    bytes -= queued.bytes;
    return queued;
  }

  function finishBatch<Q extends Queued, R extends { outcome: string }>(
    batch: readonly Batched<Q>[],
    results: readonly (R | ChatError)[],
    settle: (queued: Q, decision: Decision, result: R | ChatError) => void,
  ): void {
    const retries = new Map<RoomId, Queued[]>();
    const finished: { entry: Batched<Q>; result: R | ChatError }[] = [];
    for (const [n, entry] of batch.entries()) {
      const { queued } = entry;
      const result = results[n] ?? new ChatError('INTERNAL');
      if (shouldRetry(queued, result)) {
        retries.set(queued.room_id, [...(retries.get(queued.room_id) ?? []), queued]);
      } else {
        finished.push({ entry, result });
      }
    }
    // Retries go before later messages of the same room, to keep the order.
    for (const [room, sends] of retries) queuesByRoom.set(room, [...sends, ...(queuesByRoom.get(room) ?? [])]);
    const settleFinished = () => {
      for (const { entry, result } of finished) settle(release(entry.queued), entry.decision, result);
    };
    runningStatements -= 1;
    // If the other statement still runs, the next commit does not begin yet, so these results do not wait for it.
    if (overlapsCommits && runningStatements === 0) settlements.push(settleFinished);
    else settleFinished();
  }

  function shouldRetry(queued: Queued, result: { outcome: string } | ChatError): boolean {
    if (result instanceof ChatError) return false;
    if (result.outcome === 'busy') {
      backoff.backOff(queued.room_id, Date.now());
      return performance.now() - queued.queuedAt < maxWaitMs;
    }
    backoff.reset(queued.room_id);
    if (result.outcome !== 'stale') return false;
    rights.invalidate(queued.room_id);
    queued.staleCount += 1;
    return queued.staleCount < maxAuthorizations;
  }

  return {
    append: dedupeInFlight(append),
    apply,
    settled: () => currentRun,
    get size() {
      return size;
    },
    max: limits.maxMessages,
  };
}

const endOfTick = () => new Promise((resolve) => setImmediate(resolve));
