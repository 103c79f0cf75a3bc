import { type Actor, pickOwnership, type RoomOwnership, type Rule } from '../authorization.ts';
import { type ChatFrame, toFrameName } from '../contract/chat.ts';
import type { ServerEventName, ServerEventPayloads } from '../contract/socketio.ts';
import { formatCursor } from '../cursor.ts';
import type { RoomId, Uuid } from '../ids.ts';
import type { Room } from '../room.ts';
import {
  type BusMessage,
  type Change,
  type ChangeByKind,
  type ChangeKind,
  type Grant,
  type MessageChange,
  UnknownChangeKindError,
} from './change.ts';

/** The part of a room's state that rights depend on. `applyToRights` keeps it up to date. */
export interface RoomState {
  room: RoomOwnership;
  rules: Map<Uuid, Rule>;
}

type EventName = Extract<
  ServerEventName,
  'message:new' | 'message:changed' | 'reaction:changed' | 'change:skipped' | 'member:changed' | 'room:changed'
>;
type ServerEvent = { [N in EventName]: { name: N; payload: ServerEventPayloads[N] } }[EventName];

/** Where a change is in the log, when it was made, and by whom. */
interface StoredPosition {
  room_id: RoomId;
  rev: number;
  at: number;
  by: Uuid | null;
}

interface KindRow<K extends ChangeKind> {
  /** Whether a change of this kind increases `rightsRev`, invalidates cached rights and reauthorizes subscribers. */
  affectsRights: boolean;
  /** Converts the column `body` of `room_changes`; null if changes of this kind are stored in another table. */
  fromBody: ((position: StoredPosition, body: never) => ChangeByKind<K>) | null;
  /** Whether the change may affect the rights of the actor. Called only if `affectsRights` is true. */
  concerns(change: ChangeByKind<K>, actor: Actor): boolean;
  applyToRights(state: RoomState, change: ChangeByKind<K>): void;
  applyToRoom(room: Room, change: ChangeByKind<K>): Room;
  /** The rule that the change creates, modifies or removes; null if it affects no single rule. */
  getGrant(change: ChangeByKind<K>): Grant | null;
  /** The event that Socket.IO clients receive for the change. */
  toEvent(change: ChangeByKind<K>): ServerEvent;
}

const keepRights = () => {};
const noGrant = () => null;

export const changeKinds: { readonly [K in ChangeKind]: KindRow<K> } = {
  message: {
    affectsRights: false,
    fromBody: null,
    concerns: () => false,
    applyToRights: keepRights,
    applyToRoom: (room, { message }) => ({ ...room, last_seq: message.seq }),
    getGrant: noGrant,
    toEvent: (change) => ({
      name: 'message:new',
      payload: {
        ...change.message,
        rev: change.rev,
        cursor: formatCursor(change),
        ...(change.root && { root: change.root }),
        ...(change.changes && { changes: change.changes }),
      },
    }),
  },
  revision: {
    affectsRights: false,
    fromBody: null,
    concerns: () => false,
    applyToRights: keepRights,
    applyToRoom: (room) => room,
    getGrant: noGrant,
    toEvent: ({ message, root, changes, ...change }) => ({
      name: 'message:changed',
      payload: {
        ...message,
        rev: change.rev,
        cursor: formatCursor(change),
        ...(root && { root }),
        ...(changes && { changes }),
      },
    }),
  },
  reactions: {
    affectsRights: false,
    fromBody: null,
    concerns: () => false,
    applyToRights: keepRights,
    applyToRoom: (room) => room,
    getGrant: noGrant,
    toEvent: (change) => {
      const { room_id, rev, seq, reactions, changes } = change;
      return {
        name: 'reaction:changed',
        payload: { room_id, rev, cursor: formatCursor(change), seq, reactions, changes },
      };
    },
  },
  skipped: {
    affectsRights: false,
    fromBody: null,
    concerns: () => false,
    applyToRights: keepRights,
    applyToRoom: (room) => room,
    getGrant: noGrant,
    toEvent: (change) => ({
      name: 'change:skipped',
      payload: { room_id: change.room_id, rev: change.rev, cursor: formatCursor(change) },
    }),
  },
  member: {
    affectsRights: true,
    fromBody: (position, rule) => ({ kind: 'member', ...position, rule }),
    concerns: ({ rule }, { user, entity }) => rule.entity_UUID === user || rule.entity_UUID === entity,
    applyToRights(state, { rule: { permissions, ...rule } }) {
      if (permissions === null) state.rules.delete(rule.entity_UUID);
      else state.rules.set(rule.entity_UUID, { ...rule, permissions });
    },
    applyToRoom: (room) => room,
    getGrant: ({ rule }) => rule,
    toEvent: (change) => {
      const { room_id, rev, rule } = change;
      const position = { room_id, rev, cursor: formatCursor(change) };
      return {
        name: 'member:changed',
        payload: { ...position, ...rule, ...toAnswerFields(rule.accepted), by: change.by ?? null },
      };
    },
  },
  room: {
    affectsRights: true,
    fromBody: (position, room) => ({ kind: 'room', ...position, room }),
    concerns: () => true,
    applyToRights(state, { room }) {
      state.room = pickOwnership(room);
    },
    applyToRoom: (_room, change) => change.room,
    getGrant: noGrant,
    toEvent: (change) => {
      const { room_id, rev, room } = change;
      return {
        name: 'room:changed',
        payload: { room_id, rev, cursor: formatCursor(change), room, by: change.by ?? null },
      };
    },
  },
};

export function kindOfChange<K extends ChangeKind>(change: ChangeByKind<K>): KindRow<K> {
  return changeKinds[change.kind as K];
}

/** A change of an unknown kind counts, because it may affect rights. */
export function affectsRights(message: BusMessage): boolean {
  return message.kind === 'deleted' || message.kind === 'unknown' || changeKinds[message.kind].affectsRights;
}

/**
 * Whether `/chat` connections without events receive the change. They receive only messages, and no tombstones, because
 * clients of the legacy service would show tombstones as messages.
 */
export const isPlainMessage = (change: Change): change is MessageChange =>
  change.kind === 'message' && change.message.deletedAt === undefined;

/** The frame of the change on `/chat`. */
export function toChatFrame(change: Change): ChatFrame {
  if (change.kind === 'message') return toMessageFrame(change);
  const { name, payload } = toChangeEvent(change);
  const { rev, cursor, ...data } = payload;
  return { type: toFrameName(name), rev, cursor, data } as ChatFrame;
}

export function toMessageFrame(change: MessageChange): Extract<ChatFrame, { type: 'message' }> {
  const { message, root, changes, rev } = change;
  const data = root || changes ? { ...message, ...(root && { root }), ...(changes && { changes }) } : message;
  return { type: 'message', rev, cursor: formatCursor(change), data };
}

export const toChangeEvent = (change: Change): ServerEvent => kindOfChange(change).toEvent(change);

/** Converts a row of `room_changes`. Throws an `UnknownChangeKindError` if this version does not know its kind. */
export function toChange(row: StoredPosition & { kind: string; body: unknown }): Change {
  const { kind, body, ...position } = row;
  const fromBody = Object.hasOwn(changeKinds, kind) ? changeKinds[kind as ChangeKind].fromBody : null;
  if (!fromBody) throw new UnknownChangeKindError(row);
  return fromBody(position, body as never);
}

/** For clients of the legacy service, `accepted` is false both for unanswered and for declined invitations. */
export function toAnswerFields(accepted: boolean | null): { accepted: boolean; declined: boolean } {
  return { accepted: accepted === true, declined: accepted === false };
}
