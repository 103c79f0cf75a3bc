import { can, type Decision, toDenialCode } from '../../core/authorization.ts';
import type { RoomBus } from '../../core/bus.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomId } from '../../core/ids.ts';
import type { AppendResult } from '../../core/log/draft.ts';
import { LockBackoff } from '../../core/log/lock-backoff.ts';
import type { RightsCache, VersionedRights } from '../../core/log/rights-cache.ts';
import type { RoomLog } from '../../core/log/room-log.ts';
import { isDataError } from '../../database/store-errors.ts';
import { dedupeInFlight, toDuplicate } from './dedupe-in-flight.ts';
import type { SendRequest, StoredMessage } from './send-request.ts';

interface QueuedSend extends SendRequest {
  resolve(stored: StoredMessage): void;
  reject(error: ChatError): void;
  staleness: number;
  since: number;
  /** What it holds of memory, at most: its content as UTF-8, and a queue's entry with its promise. */
  bytes: number;
}

interface BatchedSend {
  send: QueuedSend;
  decision: Decision;
  rightsRev: number;
}

export interface SendQueue {
  /** Takes its place at once: two sends to a room are stored in the order of these calls. */
  append(sending: SendRequest): Promise<StoredMessage>;
  /** Resolves when everything that was taken is answered. */
  settled(): Promise<void>;
  readonly size: number;
  /** Beyond this messages are refused. */
  readonly max: number;
}

interface Limits {
  /** Messages that wait, and the bytes of them. */
  messages: number;
  bytes: number;
  /** Messages of one commit, and of one room in it. */
  batch: number;
  batchPerRoom: number;
}

const defaults: Limits = { messages: 20_000, bytes: 64 * 1024 * 1024, batch: 1_000, batchPerRoom: 250 };
/** Of a message in the queue, beside its content. */
const entryBytes = 512;
const maxAuthorizations = 20;
/** How long a message waits for a room that somebody else keeps locked. */
const maxWaitMs = 10_000;

export interface SendEvents {
  /** So many messages have been to the database. */
  committed(messages: number, seconds: number): void;
  /** One is stored, told to the members on this node and acknowledged, so long after it had got its place. */
  stored(seconds: number): void;
  /** One was answered with what was stored before. */
  deduplicated(): void;
}

interface Collaborators {
  log: RoomLog;
  rights: RightsCache;
  bus: RoomBus;
  events?: SendEvents;
}

/**
 * Commits all that arrived while the last commit ran, in one transaction. Rights are judged here by the cached rules;
 * the log checks under the room's lock that these were the last, and otherwise the message is judged again.
 */
export function createSendQueue({ log, rights, bus, events }: Collaborators, limits: Limits = defaults): SendQueue {
  const rooms = new Map<RoomId, QueuedSend[]>();
  let size = 0;
  let bytes = 0;
  let isRunning = false;
  let done: Promise<void> = Promise.resolve();
  const backoff = new LockBackoff();
  let arrived = () => {};

  function append(sending: SendRequest): Promise<StoredMessage> {
    if (size >= limits.messages || bytes >= limits.bytes) {
      const message = 'The server has more messages to store than it can take, try again';
      return Promise.reject(new ChatError('UNAVAILABLE', { message, retryAfterMs: 1_000 }));
    }
    const stored = new Promise<StoredMessage>((resolve, reject) => {
      const weight = Buffer.byteLength(sending.content) + entryBytes;
      bytes += weight;
      const queued = { ...sending, resolve, reject, staleness: 0, since: performance.now(), bytes: weight };
      const queue = rooms.get(sending.room_id);
      if (queue) queue.push(queued);
      else rooms.set(sending.room_id, [queued]);
    });
    size += 1;
    arrived();
    if (!isRunning) done = run();
    return stored;
  }

  async function run(): Promise<void> {
    isRunning = true;
    try {
      while (rooms.size > 0) await runOnce();
    } finally {
      // In the turn in which nothing is left: who sends in the next one starts it again.
      isRunning = false;
    }
  }

  async function runOnce(): Promise<void> {
    // No wait, only the end of this turn: all that the sockets bring in it shares one commit.
    await nextTick();
    const now = Date.now();
    const next = [...rooms.keys()].filter((room) => backoff.until(room) <= now).slice(0, limits.batch);
    if (next.length === 0) await backoffOrArrival(now);
    else await commitOne(next);
  }

  async function commitOne(next: readonly RoomId[]): Promise<void> {
    let current: Map<RoomId, VersionedRights>;
    try {
      current = await rights.load(next);
    } catch (error) {
      for (const room of next) refuseRoom(room, ChatError.from(error));
      return;
    }
    const taken = takeBatch(next, current);
    if (taken.length === 0) return;
    const from = performance.now();
    const answers = await store(taken);
    events?.committed(taken.length, (performance.now() - from) / 1_000);
    answer(taken, answers);
  }

  /** Only rooms that somebody else keeps locked are queued: until the first may be tried again, or a message comes. */
  async function backoffOrArrival(now: number): Promise<void> {
    const soonest = Math.min(...[...rooms.keys()].map((room) => backoff.until(room)));
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      arrived = resolve;
      timer = setTimeout(resolve, Math.max(1, soonest - now));
    });
    clearTimeout(timer);
    arrived = () => {};
  }

  function refuseRoom(room: RoomId, error: ChatError): void {
    const queue = rooms.get(room) ?? [];
    rooms.delete(room);
    for (const queued of queue) settle(queued).reject(error);
  }

  function settle(queued: QueuedSend): QueuedSend {
    size -= 1;
    bytes -= queued.bytes;
    return queued;
  }

  /** Fair between rooms: what a room has left over waits behind the others. */
  function takeBatch(candidates: readonly RoomId[], rightsOf: ReadonlyMap<RoomId, VersionedRights>): BatchedSend[] {
    const taken: BatchedSend[] = [];
    for (const room of candidates) {
      if (taken.length >= limits.batch) break;
      const current = rightsOf.get(room);
      if (!current) {
        refuseRoom(room, new ChatError('NOT_FOUND'));
        continue;
      }
      const queue = rooms.get(room) ?? [];
      for (const send of queue.splice(0, Math.min(limits.batchPerRoom, limits.batch - taken.length))) {
        taken.push({ send, decision: current.decide(send.actor), rightsRev: current.rightsRev });
      }
      rooms.delete(room);
      if (queue.length > 0) rooms.set(room, queue);
    }
    return taken;
  }

  async function store(taken: readonly BatchedSend[]): Promise<(AppendResult | ChatError)[]> {
    const drafts = taken.map(({ send, decision, rightsRev }) => ({
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
      if (!isDataError(thrown) || taken.length === 1) return taken.map(() => error);
      // One message the database does not take must not fail its neighbours.
      const answers: (AppendResult | ChatError)[] = [];
      for (const one of taken) answers.push(...(await store([one])));
      return answers;
    }
  }

  function answer(taken: readonly BatchedSend[], answers: readonly (AppendResult | ChatError)[]): void {
    const again = new Map<RoomId, QueuedSend[]>();
    for (const [n, { send, decision }] of taken.entries()) {
      const appended = answers[n] ?? new ChatError('INTERNAL');
      if (shouldRetry(send, appended)) {
        again.set(send.room_id, [...(again.get(send.room_id) ?? []), send]);
      } else {
        answerSafely(settle(send), decision, appended);
      }
    }
    for (const [room, before] of again) rooms.set(room, [...before, ...(rooms.get(room) ?? [])]);
  }

  function shouldRetry(queued: QueuedSend, appended: AppendResult | ChatError): boolean {
    if (appended instanceof ChatError) return false;
    if (appended.outcome === 'busy') {
      backoff.backOff(queued.room_id, Date.now());
      return performance.now() - queued.since < maxWaitMs;
    }
    backoff.reset(queued.room_id);
    if (appended.outcome !== 'stale') return false;
    rights.invalidate(queued.room_id);
    queued.staleness += 1;
    return queued.staleness < maxAuthorizations;
  }

  /** A defect in what hears of one message must not leave the others without an answer. */
  function answerSafely(queued: QueuedSend, decision: Decision, appended: AppendResult | ChatError): void {
    try {
      answerOne(queued, decision, appended);
    } catch (error) {
      queued.reject(ChatError.from(error));
    }
  }

  function answerOne(queued: QueuedSend, decision: Decision, appended: AppendResult | ChatError): void {
    if (appended instanceof ChatError) return queued.reject(appended);
    switch (appended.outcome) {
      case 'stored':
        queued.onStored?.(appended.change);
        bus.publish(appended.change);
        queued.resolve({ change: appended.change, duplicate: false });
        return events?.stored((performance.now() - queued.since) / 1_000);
      case 'duplicate':
        try {
          queued.resolve(toDuplicate(appended.change, queued));
          return events?.deduplicated();
        } catch (error) {
          return queued.reject(ChatError.from(error));
        }
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

  return {
    append: dedupeInFlight(append),
    settled: () => done,
    get size() {
      return size;
    },
    max: limits.messages,
  };
}

const nextTick = () => new Promise((resolve) => setImmediate(resolve));
