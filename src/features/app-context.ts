import type { LRUCache } from 'lru-cache';
import type { Audit } from '../core/audit.ts';
import {
  type Action,
  type Actor,
  type Deed,
  denialOf,
  judge,
  may,
  refusalOf,
  type Verdict,
} from '../core/authorization.ts';
import type { RoomBus } from '../core/bus.ts';
import { ChatError } from '../core/errors.ts';
import type { RoomFeeds } from '../core/feed/feed-registry.ts';
import type { RoomId, RoomRef, Uuid } from '../core/ids.ts';
import type { UserReads } from '../core/limits/concurrent-reads.ts';
import type { RequestLimits } from '../core/limits/request-limits.ts';
import type { RightsCache } from '../core/log/rights-cache.ts';
import type { RoomLog } from '../core/log/room-log.ts';
import type { RoomSnapshot } from '../core/log/room-snapshot.ts';
import type { Store } from '../database/store.ts';
import type { Acceptances } from './members/acceptance-queue.ts';
import type { SendQueue } from './messages/send-queue.ts';
import type { SendRate } from './messages/send-rate.ts';

/** What the use cases work with; made once, in `server.ts`. */
export interface Rooms {
  store: Store;
  log: RoomLog;
  bus: RoomBus;
  feeds: RoomFeeds;
  rights: RightsCache;
  queue: SendQueue;
  acceptances: Acceptances;
  sendRate: SendRate;
  requestLimits: RequestLimits;
  reads: UserReads;
  audit: Audit;
  settings: { roomCreateLevel: number; contentBytes: number; rulesPerRoom: number; roomsPerCreator: number };
  /** From the moment the node drains no new message is taken. */
  isDraining: boolean;
  /** The numbers of rooms that were named by their UUID; neither ever changes, nor is used again. */
  roomIds: LRUCache<Uuid, RoomId>;
}

/** The room as it stands, without a lock, and what the actor may do in it; or `NOT_FOUND`. */
export async function knownRoom(
  { log }: Pick<Rooms, 'log'>,
  actor: Actor,
  ref: RoomRef,
): Promise<RoomSnapshot & { id: RoomId; verdict: Verdict }> {
  const state = await log.snapshot(ref);
  if (!state) throw new ChatError('NOT_FOUND');
  return { ...state, id: state.room.id, verdict: judge(actor, state.room, state.rules) };
}

/** Before the room is locked: a refusal must cost nobody else anything. Under the lock it is decided again. */
export function assertAllowed(actor: Actor, { room, rules }: Pick<RoomSnapshot, 'room' | 'rules'>, deed: Deed): void {
  const denial = denialOf(actor, room, rules, deed);
  if (denial) throw new ChatError(denial.code, denial.message === undefined ? {} : { message: denial.message });
}

/** The room as it stands, for an actor who may do this in it; or `NOT_FOUND`, `FORBIDDEN`, `BANNED`. */
export async function roomFor(
  rooms: Pick<Rooms, 'log'>,
  actor: Actor,
  action: Action | 'enter',
  ref: RoomRef,
): Promise<RoomSnapshot & { verdict: Verdict }> {
  const known = await knownRoom(rooms, actor, ref);
  const { verdict } = known;
  if (action === 'enter' ? verdict.rights === '' : !may(verdict, action)) throw new ChatError(refusalOf(verdict));
  return known;
}

/** The number of the room; a UUID that names none is `NOT_FOUND`. */
export async function roomIdOf({ log, roomIds }: Pick<Rooms, 'log' | 'roomIds'>, ref: RoomRef): Promise<RoomId> {
  if (typeof ref === 'number') return ref;
  const known = roomIds.get(ref);
  if (known !== undefined) return known;
  const state = await log.snapshot(ref);
  if (!state) throw new ChatError('NOT_FOUND');
  roomIds.set(ref, state.room.id);
  return state.room.id;
}
