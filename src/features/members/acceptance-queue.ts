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

/** Accepts the invitations of users who join a room before they have answered their invitation. */
export interface AcceptanceQueue {
  /**
   * Accepts the actor's unanswered invitation, if there is one and it lets the actor read the room. Returns a snapshot
   * of the room after that. Like any change of a rule, the acceptance becomes an entry of the log.
   */
  accept(actor: Actor, room: RoomId): Promise<RoomSnapshot>;
}

interface QueuedAcceptance {
  actor: Actor;
  snapshot: RoomSnapshot;
  rule: Rule;
  queuedAt: number;
  /** Called with the room after the acceptance, or with undefined if the caller has to read the room again. */
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
/** How long an acceptance is retried while another transaction keeps the room locked. */
const maxWaitMs = 10_000;

/**
 * Commits all acceptances that arrived during the previous commit, in one statement. Actors are authorized before, with
 * a snapshot. The statement then locks the rooms and checks that the rights have not changed since the snapshot. If
 * they have, the queue reads the room and authorizes again.
 */
export function createAcceptanceQueue({ log, rights, bus }: Collaborators, limits = defaultLimits): AcceptanceQueue {
  /** The unfinished acceptances by room and user. A batch must not contain the same invitation twice. */
  const inFlight = new Map<string, Promise<unknown>>();
  const backoff = new LockBackoff();
  /**
   * Snapshots of rooms after their last acceptance, so that the next batch can build on them. Cleared when a run ends.
   */
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
    const pending = inFlight.get(key);
    // Another connection of the user is already accepting this invitation. Whatever the result is, `undefined` makes
    // the caller read the room again.
    const readAgain = () => undefined;
    if (pending) return pending.then(readAgain, readAgain);
    if (inFlight.size >= limits.maxQueued) {
      const message = 'The server has too many joins in its queue, retry later';
      return Promise.reject(new ChatError('UNAVAILABLE', { message, retryAfterMs: 1_000 }));
    }
    const accepted = new Promise<RoomSnapshot | undefined>((resolve, reject) => {
      enqueue({ ...{ actor, snapshot, rule, resolve, reject }, queuedAt: performance.now() });
    });
    inFlight.set(key, accepted);
    const forget = () => void inFlight.delete(key);
    accepted.then(forget, forget);
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
      // All joins of one tick share a commit. The queue waits no longer, because that would delay joins.
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

  function settle(batch: readonly QueuedAcceptance[], results: readonly AcceptResult[]): void {
    const byRoom = new Map<RoomId, AcceptedInvitation[]>();
    for (const [n, queued] of batch.entries()) {
      const result = results[n];
      const room_id = queued.snapshot.room.id;
      if (result?.outcome === 'busy') {
        retryLater(queued);
      } else if (result?.outcome === 'accepted') {
        backoff.reset(room_id);
        const { rev, at } = result;
        const { entity_UUID, kind, permissions, level } = queued.rule;
        const change: MemberChange = {
          kind: 'member',
          by: queued.actor.user,
          room_id,
          rev,
          at,
          rule: { entity_UUID, kind, permissions, level, accepted: true },
        };
        const acceptedInRoom = byRoom.get(room_id);
        if (acceptedInRoom) acceptedInRoom.push({ queued, change });
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

/** Returns the actor's own invitation, if it is unanswered and lets them read the room. */
function findOpenInvitation(actor: Actor, snapshot: RoomSnapshot): Rule | undefined {
  const rights = toRoomRights(snapshot);
  const ownRule = rights.rules.get(actor.user);
  const isOpen = ownRule?.accepted === null && matchRule(ownRule, actor, snapshot.room) === 'user';
  return isOpen && decide(actor, rights).denialReason === null ? ownRule : undefined;
}

/** Returns the snapshot after the acceptances, which must be the next changes in the log. */
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
