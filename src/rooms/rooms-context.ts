import type { LRUCache } from 'lru-cache';
import { ChatError } from '../protocol/errors.ts';
import type { RoomId, RoomRef, Uuid } from '../protocol/identifiers.ts';
import type { LoggedRoom, RoomLog } from '../store/room-log.ts';
import type { Store } from '../store/store.ts';
import { type Action, type Actor, judge, may, refusalOf, type Verdict } from './permissions.ts';
import type { RoomBus } from './room-bus.ts';
import type { RoomFeeds } from './room-feeds.ts';
import type { RightsCache } from './room-rights.ts';
import type { SendQueue } from './send-queue.ts';
import type { SendRate } from './send-rate.ts';

/** What the use cases work with; made once, in `server.ts`. */
export interface Rooms {
  store: Store;
  log: RoomLog;
  bus: RoomBus;
  feeds: RoomFeeds;
  rights: RightsCache;
  queue: SendQueue;
  sendRate: SendRate;
  settings: { roomCreateLevel: number; contentBytes: number; rulesPerRoom: number };
  /** From the moment the node drains no new message is taken. */
  isDraining: boolean;
  /** The numbers of rooms that were named by their UUID; neither ever changes, nor is used again. */
  roomIds: LRUCache<Uuid, RoomId>;
}

/** The room as it stands, for an actor who may do this in it; or `NOT_FOUND`, `FORBIDDEN`, `BANNED`. */
export async function roomFor(
  { log }: Pick<Rooms, 'log'>,
  actor: Actor,
  action: Action | 'enter',
  ref: RoomRef,
): Promise<LoggedRoom & { verdict: Verdict }> {
  const state = await log.state(ref);
  if (!state) throw new ChatError('NOT_FOUND');
  const verdict = judge(actor, state.room, state.rules);
  if (action === 'enter' ? verdict.rights === '' : !may(verdict, action)) throw new ChatError(refusalOf(verdict));
  return { ...state, verdict };
}

/** The number of the room; a UUID that names none is `NOT_FOUND`. */
export async function roomIdOf({ log, roomIds }: Pick<Rooms, 'log' | 'roomIds'>, ref: RoomRef): Promise<RoomId> {
  if (typeof ref === 'number') return ref;
  const known = roomIds.get(ref);
  if (known !== undefined) return known;
  const state = await log.state(ref);
  if (!state) throw new ChatError('NOT_FOUND');
  roomIds.set(ref, state.room.id);
  return state.room.id;
}
