import { formatCursor } from '../../core/cursor.ts';
import type { RoomId } from '../../core/ids.ts';
import type { Change } from '../../core/log/change.ts';
import { toChangeEvent } from '../../core/log/change-kinds.ts';
import { replayRooms } from '../../core/log/replay-rooms.ts';
import type { RoomLog } from '../../core/log/room-log.ts';
import { type RoomRow, toSnapshot } from '../../core/log/room-row.ts';
import type { RoomSnapshot } from '../../core/log/room-snapshot.ts';
import { toPermissionRule } from '../../core/log/to-protocol.ts';
import type { WebhookEventName } from '../../core/webhook-events.ts';
import type { Store } from '../../database/store.ts';
import { type DeliveredRoom, type Delivery, formatDeliveryId, type SizedChange } from './delivery.ts';
import { maxFirstRules, type WebhookChange, type WebhookRoom } from './payload.ts';
import { type Move, type RoomState, readRooms } from './positions.ts';

export const maxChanges = 100;
export const maxBodyBytes = 262_144;
/** The type and the timestamp. */
const envelopeBytes = 128;

export interface ReadingEndpoint {
  id: number;
  name: string;
  /** Undefined means all. */
  events: ReadonlySet<WebhookEventName> | undefined;
}

/** The next delivery of some rooms. A room is in one of the parts, or in none if the endpoint has all its changes. */
export interface Reading {
  delivery: Delivery | undefined;
  /** Rooms whose position moves without a request, because the endpoint has not subscribed to these events. */
  silent: DeliveredRoom[];
  /** Rooms whose next delivery must be a separate request. */
  alone: RoomId[];
  /** Rooms that did not fit into the request, and since when they are behind, as an age in ms. */
  rest: { room_id: RoomId; ageMs: number }[];
  /** Rooms whose log this version cannot read. */
  unreadable: { room_id: RoomId; error: Error }[];
}

/** Reads what the endpoint has to receive next of these rooms, as much as fits into one request. */
export async function readDelivery(
  { store, log }: { store: Pick<Store, 'query'>; log: Pick<RoomLog, 'snapshot'> },
  endpoint: ReadingEndpoint,
  rooms: readonly RoomId[],
): Promise<Reading> {
  const states = await readRooms(store, endpoint.id, rooms);
  const reading: Reading = { delivery: undefined, silent: [], alone: [], rest: [], unreadable: [] };
  const wants = (name: WebhookEventName) => endpoint.events === undefined || endpoint.events.has(name);
  const behind: BehindState[] = [];
  for (const state of states) {
    const event = findDueEvent(state);
    if (event === undefined) {
      if (state.position !== null && state.head !== null && state.position < state.head)
        behind.push(state as BehindState);
    } else if (!wants(event)) {
      reading.silent.push(toEventMove(state, event));
    } else if (rooms.length > 1) {
      reading.alone.push(state.room_id);
    } else {
      reading.delivery = await createEventDelivery(log, endpoint, state, event);
    }
  }
  if (behind.length > 0) await readChanges(store, endpoint, behind, reading, wants);
  return reading;
}

type DueEvent = 'room.created' | 'room.deleted';
type BehindState = RoomState & { position: number; head: number };

function findDueEvent({ position, head, created, deleted }: RoomState): DueEvent | undefined {
  if (position === null && (head !== null || created !== null)) return 'room.created';
  return deleted === null ? undefined : 'room.deleted';
}

function toEventMove({ room_id, position, head, deleted, now, deleted_at }: RoomState, event: DueEvent): DeliveredRoom {
  if (event === 'room.deleted')
    return { room_id, before: position, after: -1, hasMore: false, ageMs: now - (deleted_at ?? now) };
  return { room_id, before: null, after: 0, hasMore: head === null || head > 0 || deleted !== null, ageMs: 0 };
}

async function createEventDelivery(
  log: Pick<RoomLog, 'snapshot'>,
  endpoint: ReadingEndpoint,
  state: RoomState,
  type: DueEvent,
): Promise<Delivery | undefined> {
  const { room_id } = state;
  const move = { id: formatDeliveryId(endpoint.name, [{ room_id, revs: type }]), rooms: [toEventMove(state, type)] };
  if (type === 'room.deleted') {
    const { uuid, type: roomType, name, last_rev, key = null } = JSON.parse(state.deleted!) as DeletedBody;
    const rev = last_rev + 1;
    const payload = { rev, cursor: formatCursor({ room_id, rev, at: state.deleted_at! }) };
    return {
      ...move,
      type,
      changes: [toSized({ room: { id: room_id, uuid, key, type: roomType, name }, name: type, payload })],
    };
  }
  // If the event is missing, the room was created while the endpoint was being registered, or the event has been
  // forgotten.
  const created = state.created === null ? undefined : (JSON.parse(state.created) as RoomRow & Keyed);
  const snapshot = created ? toSnapshot(created) : await log.snapshot(room_id);
  // A room of a pair may have got its key later.
  const key = state.key ?? created?.key ?? null;
  return snapshot && { ...move, type, changes: [toSized(toCreation(snapshot, key))] };
}

interface Keyed {
  key?: string | null;
}

interface DeletedBody extends Keyed {
  uuid: string;
  type: 'group' | 'user2user';
  name: string;
  last_rev: number;
}

const toSized = (change: SizedChange['change']): SizedChange => ({ change, json: JSON.stringify(change) });

function toCreation({ room, rules, start }: RoomSnapshot, key: string | null) {
  return {
    room: { id: room.id, uuid: room.uuid, key, type: room.type, name: room.name } satisfies WebhookRoom,
    name: 'room.created' as const,
    payload: {
      rev: 0,
      cursor: formatCursor(start),
      room,
      rules: rules.slice(0, maxFirstRules).map((rule) => toPermissionRule(room.id, rule)),
      has_more_rules: rules.length > maxFirstRules,
    },
  };
}

interface RoomPart extends DeliveredRoom {
  changes: SizedChange[];
}

async function readChanges(
  store: Pick<Store, 'query'>,
  endpoint: ReadingEndpoint,
  behind: readonly BehindState[],
  reading: Reading,
  wants: (name: WebhookEventName) => boolean,
): Promise<void> {
  let budget = maxChanges;
  const ranges: { state: BehindState; room_id: RoomId; from: number; to: number }[] = [];
  for (const state of behind) {
    if (budget === 0) {
      reading.rest.push({ room_id: state.room_id, ageMs: 0 });
      continue;
    }
    const to = Math.min(state.head, state.position + budget);
    budget -= to - state.position;
    ranges.push({ state, room_id: state.room_id, from: state.position + 1, to });
  }
  const replays = await replayRooms(store, ranges);
  let bytes = envelopeBytes;
  let isFull = false;
  const parts: RoomPart[] = [];
  for (const { state, room_id, to } of ranges) {
    const replay = replays.get(room_id)!;
    if (replay instanceof Error) {
      reading.unreadable.push({ room_id, error: replay });
      continue;
    }
    if (isFull) {
      reading.rest.push({ room_id, ageMs: state.now - (replay[0]?.at ?? state.now) });
      continue;
    }
    const room: WebhookRoom = { id: room_id, uuid: state.uuid!, key: state.key, type: state.type!, name: state.name! };
    const part: RoomPart = {
      ...{ room_id, before: state.position, after: to, hasMore: to < state.head, ageMs: 0, changes: [] },
    };
    for (const replayed of replay) {
      const isWanted = isWantedChange(replayed, wants);
      const change = { room, ...toChangeEvent(replayed) } as WebhookChange;
      const json = isWanted ? JSON.stringify(change) : '';
      const size = Buffer.byteLength(json) + 1;
      if (isWanted && bytes + size > maxBodyBytes && bytes > envelopeBytes) {
        isFull = true;
        part.after = replayed.rev - 1;
        part.hasMore = true;
        break;
      }
      if (isWanted) {
        bytes += size;
        part.changes.push({ change, json });
      }
      part.ageMs = state.now - replayed.at;
    }
    if (part.after > state.position) parts.push(part);
    else reading.rest.push({ room_id, ageMs: state.now - (replay[0]?.at ?? state.now) });
  }
  const changes = parts.flatMap((part) => part.changes);
  const rooms = parts.map(({ changes: _, ...room }) => room);
  if (changes.length === 0) reading.silent.push(...rooms);
  else reading.delivery = { id: formatRangesId(endpoint.name, rooms), type: 'changes', rooms, changes };
}

const formatRangesId = (name: string, moves: readonly Move[]) =>
  formatDeliveryId(
    name,
    moves.map(({ room_id, before, after }) => ({ room_id, revs: `${before! + 1}-${after}` })),
  );

/**
 * A replay delivers a message once, in its current state, and skips its later changes. Therefore, a new message that has
 * been changed counts as a changed message, too.
 */
function isWantedChange(change: Change, wants: (name: WebhookEventName) => boolean): boolean {
  switch (change.kind) {
    case 'message': {
      const { version, reactions } = change.message;
      const isChanged = version !== change.rev || reactions !== undefined;
      return wants('message:new') || (isChanged && wants('message:changed'));
    }
    case 'member':
      return wants('member:changed');
    case 'room':
      return wants('room:changed');
    default:
      return wants('message:changed');
  }
}
