import { type Actor, matchOf, type Rule } from '../../core/authorization.ts';
import type { RoomBus } from '../../core/bus.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomId } from '../../core/ids.ts';
import type { AcceptResult } from '../../core/log/accept-invitations.ts';
import type { Change } from '../../core/log/change.ts';
import { RestingRooms } from '../../core/log/lock-backoff.ts';
import { type RightsCache, rightsAt, verdictOn } from '../../core/log/rights-cache.ts';
import type { RoomLog } from '../../core/log/room-log.ts';
import type { RoomSnapshot } from '../../core/log/room-snapshot.ts';
import { publishAll } from '../../core/log/room-transaction.ts';

/** Accepts the invitations of users who join for the first time. */
export interface Acceptances {
  /**
   * The room as it stands. An unanswered invitation of the actor is accepted before; that is a change of the room like
   * any other. Whoever may not read accepts nothing.
   */
  enter(actor: Actor, room: RoomId): Promise<RoomSnapshot>;
}

interface Waiting {
  actor: Actor;
  state: RoomSnapshot;
  rule: Rule;
  since: number;
  /** With the room as of the acceptance; undefined: read it and judge again. */
  resolve(state: RoomSnapshot | undefined): void;
  reject(error: ChatError): void;
}

interface Accepted {
  waiting: Waiting;
  change: Change;
}

interface Collaborators {
  log: Pick<RoomLog, 'snapshot' | 'accept'>;
  rights: RightsCache;
  bus: RoomBus;
}

const defaults = { waiting: 20_000, batch: 500 };
const maxJudgements = 20;
/** How long an acceptance waits for a room that another transaction keeps locked. */
const maxWaitMs = 10_000;

/**
 * Commits all acceptances that arrived while the last commit ran, in one statement. Rights are judged here; the
 * statement checks under the locks of the rooms that nothing has changed for the actor, and otherwise they are judged
 * again.
 */
export function acceptanceQueue({ log, rights, bus }: Collaborators, limits = defaults): Acceptances {
  /** By room and user: a batch must not hold one twice. */
  const underway = new Map<string, Promise<unknown>>();
  const resting = new RestingRooms();
  /** Rooms as of their last acceptance here, as long as others follow. */
  const latest = new Map<RoomId, RoomSnapshot>();
  let queue: Waiting[] = [];
  let isRunning = false;

  async function enter(actor: Actor, room: RoomId): Promise<RoomSnapshot> {
    for (let judgements = 0; judgements < maxJudgements; judgements++) {
      const state = await log.snapshot(room);
      if (!state) throw new ChatError('NOT_FOUND');
      const rule = openInvitation(actor, state);
      const accepted = rule ? await accept(actor, state, rule) : state;
      if (accepted) return accepted;
    }
    throw new ChatError('UNAVAILABLE');
  }

  function accept(actor: Actor, state: RoomSnapshot, rule: Rule): Promise<RoomSnapshot | undefined> {
    const key = `${state.room.id}/${actor.user}`;
    const first = underway.get(key);
    // Another connection of the user: whatever comes of its acceptance, the room has to be read again.
    const readAgain = () => undefined;
    if (first) return first.then(readAgain, readAgain);
    if (underway.size >= limits.waiting) {
      const message = 'The server has more joins than it can take, try again';
      return Promise.reject(new ChatError('UNAVAILABLE', { message, retryAfterMs: 1_000 }));
    }
    const accepted = new Promise<RoomSnapshot | undefined>((resolve, reject) => {
      enqueue({ ...{ actor, state, rule, resolve, reject }, since: performance.now() });
    });
    underway.set(key, accepted);
    const done = () => void underway.delete(key);
    accepted.then(done, done);
    return accepted;
  }

  function enqueue(waiting: Waiting): void {
    const restMs = resting.until(waiting.state.room.id) - Date.now();
    if (restMs > 0) return void setTimeout(() => enqueue(waiting), restMs);
    queue.push(waiting);
    if (!isRunning) void run();
  }

  async function run(): Promise<void> {
    isRunning = true;
    while (queue.length > 0) {
      // No timer, only the end of this turn: all that it brings shares one commit.
      await endOfTurn();
      const batch = queue.slice(0, limits.batch);
      queue = queue.slice(limits.batch);
      await commit(batch);
    }
    isRunning = false;
    latest.clear();
  }

  async function commit(batch: readonly Waiting[]): Promise<void> {
    const invitations = batch.map(({ actor: { user: grantee, entity }, state }) => ({
      ...{ room_id: state.room.id, grantee, entity, rightsRev: state.rightsRev },
    }));
    try {
      settle(batch, await log.accept(invitations));
    } catch (error) {
      for (const { reject } of batch) reject(ChatError.from(error));
    }
  }

  function settle(batch: readonly Waiting[], answers: readonly AcceptResult[]): void {
    const byRoom = new Map<RoomId, Accepted[]>();
    for (const [n, waiting] of batch.entries()) {
      const answer = answers[n];
      const room_id = waiting.state.room.id;
      if (answer?.outcome === 'busy') {
        tryLater(waiting);
      } else if (answer?.outcome === 'accepted') {
        resting.wake(room_id);
        const { rev, at } = answer;
        const { entity_UUID, kind, permissions, level } = waiting.rule;
        const change: Change = {
          kind: 'member',
          room_id,
          rev,
          at,
          rule: { entity_UUID, kind, permissions, level, accepted: true },
        };
        const others = byRoom.get(room_id);
        if (others) others.push({ waiting, change });
        else byRoom.set(room_id, [{ waiting, change }]);
      } else {
        waiting.resolve(undefined);
      }
    }
    for (const [room, accepted] of byRoom) answerRoom(room, accepted);
  }

  function answerRoom(room: RoomId, accepted: readonly Accepted[]): void {
    const changes = accepted.map(({ change }) => change);
    const states = [latest.get(room), ...accepted.map(({ waiting }) => waiting.state)];
    const before = states.find((state) => state && state.head.rev + 1 === changes[0]!.rev);
    const after = before && stateAfter(before, changes);
    if (after) latest.set(room, after);
    publishAll({ bus, rights }, changes);
    for (const { waiting } of accepted) waiting.resolve(after);
  }

  function tryLater(waiting: Waiting): void {
    if (performance.now() - waiting.since >= maxWaitMs) return waiting.reject(new ChatError('UNAVAILABLE'));
    resting.rest(waiting.state.room.id, Date.now());
    enqueue(waiting);
  }

  return { enter };
}

/** The actor's own invitation, if it is not answered and lets them read. */
function openInvitation(actor: Actor, state: RoomSnapshot): Rule | undefined {
  const rights = rightsAt(state);
  const own = rights.rules.get(actor.user);
  const isOpen = own?.accepted === null && matchOf(own, actor, state.room) === 'user';
  return isOpen && verdictOn(actor, rights).lack === null ? own : undefined;
}

/** The room after acceptances that follow on it without a gap. */
function stateAfter(state: RoomSnapshot, changes: readonly Change[]): RoomSnapshot {
  const { room_id, rev, at } = changes.at(-1)!;
  const times = new Map(changes.map((change) => [change.kind === 'member' ? change.rule.entity_UUID : '', change.at]));
  const rules = state.rules.map((rule) => {
    const acceptedAt = times.get(rule.entity_UUID);
    if (acceptedAt === undefined) return rule;
    return { ...rule, accepted: true, updatedAt: new Date(acceptedAt).toISOString() };
  });
  return { ...state, rules, head: { room_id, rev, at }, rightsRev: rev };
}

const endOfTurn = () => new Promise((resolve) => setImmediate(resolve));
