import type { LRUCache } from 'lru-cache';
import type { ConnectionLimits } from '../auth/connection-limits.ts';
import { type AdministrativeAction, findDenial } from '../core/administration.ts';
import type { Audit } from '../core/audit.ts';
import { type Action, type Actor, authorize, can, type Decision, toDenialCode } from '../core/authorization.ts';
import type { RoomBus } from '../core/bus.ts';
import { ChatError } from '../core/errors.ts';
import { implementWith } from '../core/feature.ts';
import type { FeedRegistry } from '../core/feed/feed-registry.ts';
import { isKeyRef, type RoomId, type RoomRef, toKey, type Uuid } from '../core/ids.ts';
import type { ConcurrentReads } from '../core/limits/concurrent-reads.ts';
import type { RequestLimits } from '../core/limits/request-limits.ts';
import type { RightsCache } from '../core/log/rights-cache.ts';
import type { RoomLog } from '../core/log/room-log.ts';
import type { RoomSnapshot } from '../core/log/room-snapshot.ts';
import type { Store } from '../database/store.ts';
import type { Inbox } from './inbox/inbox.ts';
import type { AcceptanceQueue } from './members/acceptance-queue.ts';
import type { AppendAll } from './messages/append-all.ts';
import type { SendQueue } from './messages/send-queue.ts';
import type { SendRate } from './messages/send-rate.ts';
import type { PresenceService } from './presence/presence.ts';
import type { ReactionBatcher } from './reactions/reaction-batcher.ts';
import type { PositionQueue } from './reads/position-queue.ts';
import type { Receipts } from './reads/receipts.ts';
import type { SeenUsers } from './reads/seen-users.ts';
import type { Revocations } from './revocations/revocations.ts';
import type { RegisteredJoinOption } from './rooms/join-options.ts';
import type { RowRemoval } from './rooms/row-removal.ts';
import type { Typing } from './typing/typing.ts';
import type { Webhooks } from './webhooks/webhooks.ts';

/** The collaborators of the use cases. Each server has one context. */
export interface AppContext {
  store: Store;
  log: RoomLog;
  bus: RoomBus;
  feeds: FeedRegistry;
  rights: RightsCache;
  queue: SendQueue;
  appendAll: AppendAll;
  reactionBatcher: ReactionBatcher;
  acceptanceQueue: AcceptanceQueue;
  sendRate: SendRate;
  requestLimits: RequestLimits;
  concurrentReads: ConcurrentReads;
  revocations: Revocations;
  connections: Pick<ConnectionLimits, 'findConnected'>;
  typing: Typing;
  inbox: Inbox;
  receipts: Receipts;
  positions: PositionQueue;
  seenUsers: SeenUsers;
  webhooks: Webhooks;
  rowRemoval: RowRemoval;
  /** Undefined if presence is off. */
  presence: PresenceService | undefined;
  /** What clients may ask for when they join a room. */
  joinOptions: readonly RegisteredJoinOption<AppContext>[];
  audit: Audit;
  /** Rejects if the node is draining, the database is unavailable or a migration is missing. */
  assertReady(): Promise<void>;
  metrics: { contentType: string; text(): Promise<string> };
  settings: {
    roomCreateLevel: number;
    maxContentBytes: number;
    maxCustomBytes: number;
    editSeconds: number;
    maxRulesPerRoom: number;
    maxRoomsPerCreator: number;
  };
  /** A draining node rejects new messages. */
  isDraining: boolean;
  /** Caches the number of each room by its UUID. Entries remain valid, because neither ever changes or is reused. */
  roomIds: LRUCache<Uuid, RoomId>;
}

/** Pairs the contract of a feature with its handlers. The compiler rejects missing and superfluous handlers. */
export const implement = implementWith<AppContext>();

/** Reads the room without a lock, and decides what the actor may do in it. Throws `NOT_FOUND` if it does not exist. */
export async function findRoom(
  { log }: Pick<AppContext, 'log'>,
  actor: Actor,
  ref: RoomRef,
): Promise<RoomSnapshot & { id: RoomId; decision: Decision }> {
  const snapshot = await log.snapshot(ref);
  if (!snapshot) throw new ChatError('NOT_FOUND');
  return { ...snapshot, id: snapshot.room.id, decision: authorize(actor, snapshot.room, snapshot.rules) };
}

/**
 * Called before the room is locked, so that denied requests do not slow down others. The use case has to check again
 * under the lock, because the rules may have changed.
 */
export function assertAllowed(
  actor: Actor,
  { room, rules }: Pick<RoomSnapshot, 'room' | 'rules'>,
  action: AdministrativeAction,
): void {
  const denial = findDenial(actor, room, rules, action);
  if (denial) throw new ChatError(denial.code, denial.message === undefined ? {} : { message: denial.message });
}

/** Reads the room without a lock. Throws `NOT_FOUND`, `FORBIDDEN` or `BANNED` if the actor may not do this in it. */
export async function requireRoom(
  context: Pick<AppContext, 'log'>,
  actor: Actor,
  action: Action | 'enter',
  ref: RoomRef,
): Promise<RoomSnapshot & { decision: Decision }> {
  const snapshot = await findRoom(context, actor, ref);
  const { decision } = snapshot;
  if (action === 'enter' ? decision.rights === '' : !can(decision, action)) throw new ChatError(toDenialCode(decision));
  return snapshot;
}

/**
 * Returns the number of the room. Throws `NOT_FOUND` for an unknown UUID or key, but does not check whether a number
 * exists. Keys are not cached: after the room was deleted, another room can get its key.
 */
export async function resolveRoomId(
  { log, roomIds }: Pick<AppContext, 'log' | 'roomIds'>,
  ref: RoomRef,
): Promise<RoomId> {
  if (typeof ref === 'number') return ref;
  if (isKeyRef(ref)) {
    const id = await log.findByKey(toKey(ref));
    if (id === undefined) throw new ChatError('NOT_FOUND');
    return id;
  }
  const cachedId = roomIds.get(ref);
  if (cachedId !== undefined) return cachedId;
  const snapshot = await log.snapshot(ref);
  if (!snapshot) throw new ChatError('NOT_FOUND');
  roomIds.set(ref, snapshot.room.id);
  return snapshot.room.id;
}

/** Undefined for a UUID or a key of no room: the answers must not reveal whether a room exists. */
export function findRoomId(context: Pick<AppContext, 'log' | 'roomIds'>, ref: RoomRef): Promise<RoomId | undefined> {
  return resolveRoomId(context, ref).catch((error) => {
    if (error instanceof ChatError && error.code === 'NOT_FOUND') return undefined;
    throw error;
  });
}
