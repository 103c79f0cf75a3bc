import type { MessageChange } from '../protocol/change.ts';
import { ChatError } from '../protocol/errors.ts';
import type { RoomId } from '../protocol/identifiers.ts';
import type { Appended, RoomLog } from '../store/room-log.ts';
import { type Actor, may, refusalOf, type Verdict } from './permissions.ts';
import { repeated, sharingRepetitions } from './repetitions.ts';
import type { RoomBus } from './room-bus.ts';
import { type RightsCache, verdictOn } from './room-rights.ts';

export interface Sending {
  actor: Actor;
  room_id: RoomId;
  content: string;
  client_msg_id: string | null;
  /** Called when the message is committed, before anybody hears it. */
  onStored?: ((change: MessageChange) => void) | undefined;
}

export interface Stored {
  change: MessageChange;
  duplicate: boolean;
}

interface Waiting extends Sending {
  resolve(stored: Stored): void;
  reject(error: ChatError): void;
  staleness: number;
}

interface Taken {
  waiting: Waiting;
  verdict: Verdict;
  judgedAt: number;
}

export interface SendQueue {
  /** Takes its place at once: two sends to a room are stored in the order of these calls. */
  append(sending: Sending): Promise<Stored>;
  /** Resolves when everything that was taken is answered. */
  settled(): Promise<void>;
  readonly size: number;
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
const mostJudgements = 20;

interface Collaborators {
  log: RoomLog;
  rights: RightsCache;
  bus: RoomBus;
  onBatch?: (messages: number, seconds: number) => void;
}

/**
 * Commits all that arrived while the last commit ran, in one transaction. Rights are judged here by the cached rules;
 * the log checks under the room's lock that these were the last, and otherwise the message is judged again.
 */
export function sendQueue({ log, rights, bus, onBatch }: Collaborators, limits: Limits = defaults): SendQueue {
  const rooms = new Map<RoomId, Waiting[]>();
  let size = 0;
  let bytes = 0;
  let running: Promise<void> | undefined;

  function append(sending: Sending): Promise<Stored> {
    if (size >= limits.messages || bytes >= limits.bytes) {
      const message = 'The server has more messages to store than it can take, try again';
      return Promise.reject(new ChatError('UNAVAILABLE', { message, retryAfterMs: 1_000 }));
    }
    const stored = new Promise<Stored>((resolve, reject) => {
      const waiting = { ...sending, resolve, reject, staleness: 0 };
      const queue = rooms.get(sending.room_id);
      if (queue) queue.push(waiting);
      else rooms.set(sending.room_id, [waiting]);
    });
    size += 1;
    bytes += sending.content.length;
    running ??= run().finally(() => {
      running = undefined;
    });
    return stored;
  }

  async function run(): Promise<void> {
    while (rooms.size > 0) {
      // No wait, only the end of this turn: all that the sockets bring in it shares one commit.
      await endOfTurn();
      const next = [...rooms.keys()].slice(0, limits.batch);
      try {
        await rights.load(next);
      } catch (error) {
        for (const room of next) refuseRoom(room, ChatError.from(error));
        continue;
      }
      const taken = take(next);
      const from = performance.now();
      const answers = await store(taken);
      onBatch?.(taken.length, (performance.now() - from) / 1_000);
      answer(taken, answers);
    }
  }

  function refuseRoom(room: RoomId, error: ChatError): void {
    const queue = rooms.get(room) ?? [];
    rooms.delete(room);
    for (const waiting of queue) settle(waiting).reject(error);
  }

  function settle(waiting: Waiting): Waiting {
    size -= 1;
    bytes -= waiting.content.length;
    return waiting;
  }

  /** Fair between rooms: what a room has left over waits behind the others. */
  function take(candidates: readonly RoomId[]): Taken[] {
    const taken: Taken[] = [];
    for (const room of candidates) {
      if (taken.length >= limits.batch) break;
      const current = rights.get(room);
      if (!current) {
        refuseRoom(room, new ChatError('NOT_FOUND'));
        continue;
      }
      const queue = rooms.get(room) ?? [];
      for (const waiting of queue.splice(0, Math.min(limits.batchOfRoom, limits.batch - taken.length))) {
        taken.push({ waiting, verdict: verdictOn(waiting.actor, current), judgedAt: current.rightsRev });
      }
      rooms.delete(room);
      if (queue.length > 0) rooms.set(room, queue);
    }
    return taken;
  }

  async function store(taken: readonly Taken[]): Promise<(Appended | ChatError)[]> {
    const drafts = taken.map(({ waiting, verdict, judgedAt }) => ({
      room_id: waiting.room_id,
      emitter: waiting.actor.user,
      content: waiting.content,
      client_msg_id: waiting.client_msg_id,
      allowed: may(verdict, 'write'),
      judgedAt,
    }));
    try {
      return drafts.length > 0 ? await log.append(drafts) : [];
    } catch (thrown) {
      const error = ChatError.from(thrown);
      if (error.code === 'UNAVAILABLE' || taken.length === 1) return taken.map(() => error);
      // One message the database does not take must not fail its neighbours.
      const answers: (Appended | ChatError)[] = [];
      for (const one of taken) answers.push(...(await store([one])));
      return answers;
    }
  }

  function answer(taken: readonly Taken[], answers: readonly (Appended | ChatError)[]): void {
    const stale = new Map<RoomId, Waiting[]>();
    taken.forEach(({ waiting, verdict }, n) => {
      const appended = answers[n] ?? new ChatError('INTERNAL');
      if (!(appended instanceof ChatError) && appended.outcome === 'stale' && ++waiting.staleness < mostJudgements) {
        stale.set(waiting.room_id, [...(stale.get(waiting.room_id) ?? []), waiting]);
      } else {
        answerOne(settle(waiting), verdict, appended);
      }
    });
    for (const [room, again] of stale) {
      rights.forget(room);
      rooms.set(room, [...again, ...(rooms.get(room) ?? [])]);
    }
  }

  function answerOne(waiting: Waiting, verdict: Verdict, appended: Appended | ChatError): void {
    if (appended instanceof ChatError) return waiting.reject(appended);
    switch (appended.outcome) {
      case 'stored':
        waiting.onStored?.(appended.change);
        bus.publish(appended.change);
        return waiting.resolve({ change: appended.change, duplicate: false });
      case 'duplicate':
        try {
          return waiting.resolve(repeated(appended.change, waiting));
        } catch (error) {
          return waiting.reject(ChatError.from(error));
        }
      case 'refused':
        return waiting.reject(new ChatError(refusalOf(verdict)));
      case 'gone':
        rights.forget(waiting.room_id);
        return waiting.reject(new ChatError('NOT_FOUND'));
      case 'stale':
        return waiting.reject(new ChatError('UNAVAILABLE'));
    }
  }

  return {
    append: sharingRepetitions(append),
    settled: () => running ?? Promise.resolve(),
    get size() {
      return size;
    },
  };
}

const endOfTurn = () => new Promise((resolve) => setImmediate(resolve));
