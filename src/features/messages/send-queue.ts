import { can, type Decision } from '../../core/authorization.ts';
import type { RoomBus } from '../../core/bus.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomId } from '../../core/ids.ts';
import type { AppendResult } from '../../core/log/append-messages.ts';
import { LockBackoff } from '../../core/log/lock-backoff.ts';
import type { RightsCache, VersionedRights } from '../../core/log/rights-cache.ts';
import type { RoomLog } from '../../core/log/room-log.ts';
import { isDataError } from '../../database/store-errors.ts';
import {
  createSettleSend,
  dedupeInFlight,
  type QueuedSend,
  type SendEvents,
  type SendRequest,
  type StoredMessage,
} from './send-request.ts';

interface BatchedSend {
  send: QueuedSend;
  decision: Decision;
  rightsRev: number;
}

export interface SendQueue {
  /** The messages of a room are stored in the order of these calls. */
  append(request: SendRequest): Promise<StoredMessage>;
  /** Resolves when all queued messages have been stored or rejected. */
  settled(): Promise<void>;
  readonly size: number;
  /** The `size` at which the queue rejects messages. */
  readonly max: number;
}

interface Limits {
  /** `maxMessages` and `maxBytes` limit all queued messages together. */
  maxMessages: number;
  maxBytes: number;
  /**
   * `maxBatch` limits the messages in one commit. `maxBatchPerRoom` limits how many of them belong to the same room.
   */
  maxBatch: number;
  maxBatchPerRoom: number;
}

const defaultLimits: Limits = {
  maxMessages: 20_000,
  maxBytes: 64 * 1024 * 1024,
  maxBatch: 1_000,
  maxBatchPerRoom: 250,
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
}

/**
 * Commits all messages that arrived during the previous commit, in one transaction. The queue authorizes senders with
 * cached rules. The log checks under the room's lock that these rules are current. If they are not, the queue
 * authorizes again.
 */
export function createSendQueue(
  { log, rights, bus, events }: Collaborators,
  limits: Limits = defaultLimits,
): SendQueue {
  const queuesByRoom = new Map<RoomId, QueuedSend[]>();
  let size = 0;
  let bytes = 0;
  let isRunning = false;
  let currentRun: Promise<void> = Promise.resolve();
  const backoff = new LockBackoff();
  /** Ends the wait of `backoffOrArrival`, if it is waiting. */
  let onArrival = () => {};
  const settle = createSettleSend({ rights, bus, events });

  function append(request: SendRequest): Promise<StoredMessage> {
    if (size >= limits.maxMessages || bytes >= limits.maxBytes) {
      const message = 'The server has too many messages in its queue, retry later';
      return Promise.reject(new ChatError('UNAVAILABLE', { message, retryAfterMs: 1_000 }));
    }
    const stored = new Promise<StoredMessage>((resolve, reject) => {
      const sendBytes = Buffer.byteLength(request.content) + entryBytes;
      bytes += sendBytes;
      const queued = { ...request, resolve, reject, staleCount: 0, queuedAt: performance.now(), bytes: sendBytes };
      const queue = queuesByRoom.get(request.room_id);
      if (queue) queue.push(queued);
      else queuesByRoom.set(request.room_id, [queued]);
    });
    size += 1;
    onArrival();
    if (!isRunning) currentRun = run();
    return stored;
  }

  async function run(): Promise<void> {
    isRunning = true;
    try {
      while (queuesByRoom.size > 0) await runOnce();
    } finally {
      // Must be in the same tick in which the queue becomes empty. Otherwise the next message would not start a run.
      isRunning = false;
    }
  }

  async function runOnce(): Promise<void> {
    // All messages of one tick share a commit. The queue waits no longer, because that would delay messages.
    await endOfTick();
    const now = Date.now();
    const readyRooms = [...queuesByRoom.keys()]
      .filter((room) => backoff.getRetryAt(room) <= now)
      .slice(0, limits.maxBatch);
    if (readyRooms.length === 0) await backoffOrArrival(now);
    else await commitBatch(readyRooms);
  }

  async function commitBatch(readyRooms: readonly RoomId[]): Promise<void> {
    let rightsByRoom: Map<RoomId, VersionedRights>;
    try {
      rightsByRoom = await rights.load(readyRooms);
    } catch (error) {
      for (const room of readyRooms) rejectRoom(room, ChatError.from(error));
      return;
    }
    const batch = takeBatch(readyRooms, rightsByRoom);
    if (batch.length === 0) return;
    const startedAt = performance.now();
    const results = await appendBatch(batch);
    events?.committed(batch.length, (performance.now() - startedAt) / 1_000);
    settleBatch(batch, results);
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

  function release(queued: QueuedSend): QueuedSend {
    size -= 1;
    bytes -= queued.bytes;
    return queued;
  }

  /** To be fair between rooms, a room whose queue does not fit into the batch moves behind the other rooms. */
  function takeBatch(candidates: readonly RoomId[], rightsByRoom: ReadonlyMap<RoomId, VersionedRights>): BatchedSend[] {
    const batch: BatchedSend[] = [];
    for (const room of candidates) {
      if (batch.length >= limits.maxBatch) break;
      const roomRights = rightsByRoom.get(room);
      if (!roomRights) {
        rejectRoom(room, new ChatError('NOT_FOUND'));
        continue;
      }
      const queue = queuesByRoom.get(room) ?? [];
      for (const send of queue.splice(0, Math.min(limits.maxBatchPerRoom, limits.maxBatch - batch.length))) {
        batch.push({ send, decision: roomRights.decide(send.actor), rightsRev: roomRights.rightsRev });
      }
      queuesByRoom.delete(room);
      if (queue.length > 0) queuesByRoom.set(room, queue);
    }
    return batch;
  }

  async function appendBatch(batch: readonly BatchedSend[]): Promise<(AppendResult | ChatError)[]> {
    const drafts = batch.map(({ send, decision, rightsRev }) => ({
      room_id: send.room_id,
      emitter: send.actor.user,
      content: send.content,
      client_msg_id: send.client_msg_id,
      isAllowed: can(decision, 'write'),
      rightsRev,
    }));
    try {
      return drafts.length > 0 ? await log.append(drafts) : [];
    } catch (thrown) {
      const error = ChatError.from(thrown);
      if (!isDataError(thrown) || batch.length === 1) return batch.map(() => error);
      // A message that the database rejects must not fail the rest of the batch.
      const results: (AppendResult | ChatError)[] = [];
      for (const single of batch) results.push(...(await appendBatch([single])));
      return results;
    }
  }

  function settleBatch(batch: readonly BatchedSend[], results: readonly (AppendResult | ChatError)[]): void {
    const retries = new Map<RoomId, QueuedSend[]>();
    for (const [n, { send, decision }] of batch.entries()) {
      const result = results[n] ?? new ChatError('INTERNAL');
      if (shouldRetry(send, result)) {
        retries.set(send.room_id, [...(retries.get(send.room_id) ?? []), send]);
      } else {
        settle(release(send), decision, result);
      }
    }
    // Retries go before later messages of the same room, to keep the order.
    for (const [room, sends] of retries) queuesByRoom.set(room, [...sends, ...(queuesByRoom.get(room) ?? [])]);
  }

  function shouldRetry(queued: QueuedSend, result: AppendResult | ChatError): boolean {
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
    settled: () => currentRun,
    get size() {
      return size;
    },
    max: limits.maxMessages,
  };
}

const endOfTick = () => new Promise((resolve) => setImmediate(resolve));
