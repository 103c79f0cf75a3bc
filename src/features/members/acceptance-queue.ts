import { type Actor, matchRule, type Rule } from '../../core/authorization.ts';
import type { RoomBus } from '../../core/bus.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomId } from '../../core/ids.ts';
import type { AcceptResult } from '../../core/log/accept-invitations.ts';
import type { MemberChange } from '../../core/log/change.ts';
import { LockBackoff } from '../../core/log/lock-backoff.ts';
import { decide, type RightsCache, toRoomRights } from '../../core/log/rights-cache.ts';
import type { RoomLog } from '../../core/log/room-log.ts';
import type { RoomSnapshot } from '../../core/log/room-snapshot.ts';
import { publishAll } from '../../core/log/room-transaction.ts';

/** Accepts the invitations of users who join for the first time. */
export interface AcceptanceQueue {
  /**
   * Returns a snapshot of the room, after accepting the actor's unanswered invitation. An acceptance is a change of the
   * room like any other. An invitation that does not let the actor read is not accepted.
   */
  accept(actor: Actor, room: RoomId): Promise<RoomSnapshot>;
}

interface QueuedAcceptance {
  actor: Actor;
  snapshot: RoomSnapshot;
  rule: Rule;
  queuedAt: number;
  /** With the room as of the acceptance; undefined: read the room and authorize again. */
  resolve(snapshot: RoomSnapshot | undefined): void;
  reject(error: ChatError): void;
}

interface AcceptedInvitation {
  queued: QueuedAcceptance;
  change: MemberChange;
}

interface Collaborators {
  log: Pick<RoomLog, 'snapshot' | 'accept'>;
  rights: RightsCache;
  bus: RoomBus;
}

const defaultLimits = { maxQueued: 20_000, maxBatch: 500 };
const maxAuthorizations = 20;
/** How long an acceptance waits for a room that another transaction keeps locked. */
const maxWaitMs = 10_000;

/**
 * Commits all acceptances that arrived during the previous commit, in one statement. Actors are authorized here; the
 * statement checks under the locks of the rooms that the actor's rights have not changed since. If they have, the queue
 * authorizes again.
 */
export function createAcceptanceQueue({ log, rights, bus }: Collaborators, limits = defaultLimits): AcceptanceQueue {
  /** By room and user: a batch must not contain the same invitation twice. */
  const inFlight = new Map<string, Promise<unknown>>();
  const backoff = new LockBackoff();
  /** Rooms as of their last acceptance, while the queue runs. The next batch builds on them. */
  const latestSnapshots = new Map<RoomId, RoomSnapshot>();
  let queue: QueuedAcceptance[] = [];
  let isRunning = false;

  async function accept(actor: Actor, room: RoomId): Promise<RoomSnapshot> {
    for (let attempts = 0; attempts < maxAuthorizations; attempts++) {
      const snapshot = await log.snapshot(room);
      if (!snapshot) throw new ChatError('NOT_FOUND');
      const rule = findOpenInvitation(actor, snapshot);
      const accepted = rule ? await acceptRule(actor, snapshot, rule) : snapshot;
      if (accepted) return accepted;
    }
    throw new ChatError('UNAVAILABLE');
  }

  function acceptRule(actor: Actor, snapshot: RoomSnapshot, rule: Rule): Promise<RoomSnapshot | undefined> {
    const key = `${snapshot.room.id}/${actor.user}`;
    const first = inFlight.get(key);
    // The same invitation, from another connection of the user: read the room again after it, whatever the result.
    const readAgain = () => undefined;
    if (first) return first.then(readAgain, readAgain);
    if (inFlight.size >= limits.maxQueued) {
      const message = 'The server has too many joins in its queue, retry later';
      return Promise.reject(new ChatError('UNAVAILABLE', { message, retryAfterMs: 1_000 }));
    }
    const accepted = new Promise<RoomSnapshot | undefined>((resolve, reject) => {
      enqueue({ ...{ actor, snapshot, rule, resolve, reject }, queuedAt: performance.now() });
    });
    inFlight.set(key, accepted);
    const done = () => void inFlight.delete(key);
    accepted.then(done, done);
    return accepted;
  }

  function enqueue(queued: QueuedAcceptance): void {
    const delayMs = backoff.getRetryAt(queued.snapshot.room.id) - Date.now();
    if (delayMs > 0) return void setTimeout(() => enqueue(queued), delayMs);
    queue.push(queued);
    if (!isRunning) void run();
  }

  async function run(): Promise<void> {
    isRunning = true;
    while (queue.length > 0) {
      // Waits for the end of the tick only, so that all joins of one tick share a commit.
      await endOfTick();
      const batch = queue.slice(0, limits.maxBatch);
      queue = queue.slice(limits.maxBatch);
      await commit(batch);
    }
    isRunning = false;
    latestSnapshots.clear();
  }

  async function commit(batch: readonly QueuedAcceptance[]): Promise<void> {
    const invitations = batch.map(({ actor: { user: grantee, entity }, snapshot }) => ({
      ...{ room_id: snapshot.room.id, grantee, entity, rightsRev: snapshot.rightsRev },
    }));
    try {
      settle(batch, await log.accept(invitations));
    } catch (error) {
      for (const { reject } of batch) reject(ChatError.from(error));
    }
  }

  function settle(batch: readonly QueuedAcceptance[], answers: readonly AcceptResult[]): void {
    const byRoom = new Map<RoomId, AcceptedInvitation[]>();
    for (const [n, queued] of batch.entries()) {
      const answer = answers[n];
      const room_id = queued.snapshot.room.id;
      if (answer?.outcome === 'busy') {
        retryLater(queued);
      } else if (answer?.outcome === 'accepted') {
        backoff.reset(room_id);
        const { rev, at } = answer;
        const { entity_UUID, kind, permissions, level } = queued.rule;
        const change: MemberChange = {
          kind: 'member',
          room_id,
          rev,
          at,
          rule: { entity_UUID, kind, permissions, level, accepted: true },
        };
        const others = byRoom.get(room_id);
        if (others) others.push({ queued, change });
        else byRoom.set(room_id, [{ queued, change }]);
      } else {
        queued.resolve(undefined);
      }
    }
    for (const [room, accepted] of byRoom) publishAccepted(room, accepted);
  }

  function publishAccepted(room: RoomId, accepted: readonly AcceptedInvitation[]): void {
    const changes = accepted.map(({ change }) => change);
    const snapshots = [latestSnapshots.get(room), ...accepted.map(({ queued }) => queued.snapshot)];
    const before = snapshots.find((snapshot) => snapshot && snapshot.head.rev + 1 === changes[0]!.rev);
    const after = before && applyToSnapshot(before, changes);
    if (after) latestSnapshots.set(room, after);
    publishAll({ bus, rights }, changes);
    for (const { queued } of accepted) queued.resolve(after);
  }

  function retryLater(queued: QueuedAcceptance): void {
    if (performance.now() - queued.queuedAt >= maxWaitMs) return queued.reject(new ChatError('UNAVAILABLE'));
    backoff.backOff(queued.snapshot.room.id, Date.now());
    enqueue(queued);
  }

  return { accept };
}

/** The actor's own invitation, if it is unanswered and lets them read. */
function findOpenInvitation(actor: Actor, snapshot: RoomSnapshot): Rule | undefined {
  const rights = toRoomRights(snapshot);
  const ownRule = rights.rules.get(actor.user);
  const isOpen = ownRule?.accepted === null && matchRule(ownRule, actor, snapshot.room) === 'user';
  return isOpen && decide(actor, rights).denialReason === null ? ownRule : undefined;
}

/** The snapshot after acceptances that directly follow it in the log. */
function applyToSnapshot(snapshot: RoomSnapshot, changes: readonly MemberChange[]): RoomSnapshot {
  const { room_id, rev, at } = changes.at(-1)!;
  const acceptedAtByEntity = new Map(changes.map(({ rule, at }) => [rule.entity_UUID, at]));
  const rules = snapshot.rules.map((rule) => {
    const acceptedAt = acceptedAtByEntity.get(rule.entity_UUID);
    if (acceptedAt === undefined) return rule;
    return { ...rule, accepted: true, updatedAt: new Date(acceptedAt).toISOString() };
  });
  return { ...snapshot, rules, head: { room_id, rev, at }, rightsRev: rev };
}

const endOfTick = () => new Promise((resolve) => setImmediate(resolve));
