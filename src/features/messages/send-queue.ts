import { may, refusalOf, type Verdict } from '../../core/authorization.ts';
import type { RoomBus } from '../../core/bus.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomId } from '../../core/ids.ts';
import type { AppendResult } from '../../core/log/draft.ts';
import { RestingRooms } from '../../core/log/lock-backoff.ts';
import type { RightsCache, VersionedRights } from '../../core/log/rights-cache.ts';
import type { RoomLog } from '../../core/log/room-log.ts';
import { isDataError } from '../../database/store-errors.ts';
import { repeated, sharingRepetitions } from './dedupe-in-flight.ts';
import type { Sending, Stored } from './send-request.ts';

interface Waiting extends Sending {
  resolve(stored: Stored): void;
  reject(error: ChatError): void;
  staleness: number;
  since: number;
  /** What it holds of memory, at most: its content as UTF-8, and a queue's entry with its promise. */
  bytes: number;
}

interface Taken {
  waiting: Waiting;
  verdict: Verdict;
  rightsRev: number;
}

export interface SendQueue {
  /** Takes its place at once: two sends to a room are stored in the order of these calls. */
  append(sending: Sending): Promise<Stored>;
  /** Resolves when everything that was taken is answered. */
  settled(): Promise<void>;
  readonly size: number;
  /** Beyond this messages are refused. */
  readonly most: number;
}

interface Limits {
  /** Messages that wait, and the bytes of them. */
  messages: number;
  bytes: number;
  /** Messages of one commit, and of one room in it. */
  batch: number;
  batchOfRoom: number;
}

const defaults: Limits = { messages: 20_000, bytes: 64 * 1024 * 1024, batch: 1_000, batchOfRoom: 250 };
/** Of a message in the queue, beside its content. */
const entryBytes = 512;
const mostJudgements = 20;
/** How long a message waits for a room that somebody else keeps locked. */
const longestWaitMs = 10_000;

export interface SendEvents {
  /** So many messages have been to the database. */
  batch(messages: number, seconds: number): void;
  /** One is stored, told to the members on this node and acknowledged, so long after it had got its place. */
  stored(seconds: number): void;
  /** One was answered with what was stored before. */
  repeated(): void;
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
export function sendQueue({ log, rights, bus, events }: Collaborators, limits: Limits = defaults): SendQueue {
  const rooms = new Map<RoomId, Waiting[]>();
  let size = 0;
  let bytes = 0;
  let isRunning = false;
  let done: Promise<void> = Promise.resolve();
  const resting = new RestingRooms();
  let arrived = () => {};

  function append(sending: Sending): Promise<Stored> {
    if (size >= limits.messages || bytes >= limits.bytes) {
      const message = 'The server has more messages to store than it can take, try again';
      return Promise.reject(new ChatError('UNAVAILABLE', { message, retryAfterMs: 1_000 }));
    }
    const stored = new Promise<Stored>((resolve, reject) => {
      const weight = Buffer.byteLength(sending.content) + entryBytes;
      bytes += weight;
      const waiting = { ...sending, resolve, reject, staleness: 0, since: performance.now(), bytes: weight };
      const queue = rooms.get(sending.room_id);
      if (queue) queue.push(waiting);
      else rooms.set(sending.room_id, [waiting]);
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
    await endOfTurn();
    const now = Date.now();
    const next = [...rooms.keys()].filter((room) => resting.until(room) <= now).slice(0, limits.batch);
    if (next.length === 0) await restOrArrival(now);
    else await commitOne(next);
  }

  async function commitOne(next: readonly RoomId[]): Promise<void> {
    let current: Map<RoomId, VersionedRights>;
    try {
      current = await rights.of(next);
    } catch (error) {
      for (const room of next) refuseRoom(room, ChatError.from(error));
      return;
    }
    const taken = take(next, current);
    if (taken.length === 0) return;
    const from = performance.now();
    const answers = await store(taken);
    events?.batch(taken.length, (performance.now() - from) / 1_000);
    answer(taken, answers);
  }

  /** Only rooms that somebody else keeps locked are waiting: until the first may be tried again, or a message comes. */
  async function restOrArrival(now: number): Promise<void> {
    const soonest = Math.min(...[...rooms.keys()].map((room) => resting.until(room)));
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
    for (const waiting of queue) settle(waiting).reject(error);
  }

  function settle(waiting: Waiting): Waiting {
    size -= 1;
    bytes -= waiting.bytes;
    return waiting;
  }

  /** Fair between rooms: what a room has left over waits behind the others. */
  function take(candidates: readonly RoomId[], rightsOf: ReadonlyMap<RoomId, VersionedRights>): Taken[] {
    const taken: Taken[] = [];
    for (const room of candidates) {
      if (taken.length >= limits.batch) break;
      const current = rightsOf.get(room);
      if (!current) {
        refuseRoom(room, new ChatError('NOT_FOUND'));
        continue;
      }
      const queue = rooms.get(room) ?? [];
      for (const waiting of queue.splice(0, Math.min(limits.batchOfRoom, limits.batch - taken.length))) {
        taken.push({ waiting, verdict: current.verdictOn(waiting.actor), rightsRev: current.rightsRev });
      }
      rooms.delete(room);
      if (queue.length > 0) rooms.set(room, queue);
    }
    return taken;
  }

  async function store(taken: readonly Taken[]): Promise<(AppendResult | ChatError)[]> {
    const drafts = taken.map(({ waiting, verdict, rightsRev }) => ({
      room_id: waiting.room_id,
      emitter: waiting.actor.user,
      content: waiting.content,
      client_msg_id: waiting.client_msg_id,
      isAllowed: may(verdict, 'write'),
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

  function answer(taken: readonly Taken[], answers: readonly (AppendResult | ChatError)[]): void {
    const again = new Map<RoomId, Waiting[]>();
    for (const [n, { waiting, verdict }] of taken.entries()) {
      const appended = answers[n] ?? new ChatError('INTERNAL');
      if (isToBeTriedAgain(waiting, appended)) {
        again.set(waiting.room_id, [...(again.get(waiting.room_id) ?? []), waiting]);
      } else {
        answerSafely(settle(waiting), verdict, appended);
      }
    }
    for (const [room, before] of again) rooms.set(room, [...before, ...(rooms.get(room) ?? [])]);
  }

  function isToBeTriedAgain(waiting: Waiting, appended: AppendResult | ChatError): boolean {
    if (appended instanceof ChatError) return false;
    if (appended.outcome === 'busy') {
      resting.rest(waiting.room_id, Date.now());
      return performance.now() - waiting.since < longestWaitMs;
    }
    resting.wake(waiting.room_id);
    if (appended.outcome !== 'stale') return false;
    rights.forget(waiting.room_id);
    waiting.staleness += 1;
    return waiting.staleness < mostJudgements;
  }

  /** A defect in what hears of one message must not leave the others without an answer. */
  function answerSafely(waiting: Waiting, verdict: Verdict, appended: AppendResult | ChatError): void {
    try {
      answerOne(waiting, verdict, appended);
    } catch (error) {
      waiting.reject(ChatError.from(error));
    }
  }

  function answerOne(waiting: Waiting, verdict: Verdict, appended: AppendResult | ChatError): void {
    if (appended instanceof ChatError) return waiting.reject(appended);
    switch (appended.outcome) {
      case 'stored':
        waiting.onStored?.(appended.change);
        bus.publish(appended.change);
        waiting.resolve({ change: appended.change, duplicate: false });
        return events?.stored((performance.now() - waiting.since) / 1_000);
      case 'duplicate':
        try {
          waiting.resolve(repeated(appended.change, waiting));
          return events?.repeated();
        } catch (error) {
          return waiting.reject(ChatError.from(error));
        }
      case 'refused':
        return waiting.reject(new ChatError(refusalOf(verdict)));
      case 'gone':
        rights.forget(waiting.room_id);
        return waiting.reject(new ChatError('NOT_FOUND'));
      case 'stale':
      case 'busy':
        return waiting.reject(new ChatError('UNAVAILABLE'));
    }
  }

  return {
    append: sharingRepetitions(append),
    settled: () => done,
    get size() {
      return size;
    },
    most: limits.messages,
  };
}

const endOfTurn = () => new Promise((resolve) => setImmediate(resolve));
