import { z } from 'zod';
import type { ServerEventName, ServerEventPayloads } from '../../protocol/socket-events.ts';
import { formatCursor } from '../cursor.ts';
import { RoomId, Uuid } from '../ids.ts';
import { Room, RuleKind } from '../room.ts';
import { Message } from './message.ts';

/** What a rule grants; `permissions: null` says that the rule is gone. */
export const Grant = z.object({
  entity_UUID: Uuid,
  kind: RuleKind,
  permissions: z.string().nullable(),
  level: z.number().int(),
  accepted: z.boolean().nullable(),
});
export type Grant = z.infer<typeof Grant>;

const changeFields = { room_id: RoomId, rev: z.number().int().positive(), at: z.number().int() };

/** One durable entry of a room's log, as it is kept and as it travels between nodes. */
export const Change = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('message'), ...changeFields, message: Message }),
  z.object({ kind: z.literal('member'), ...changeFields, rule: Grant }),
  z.object({ kind: z.literal('room'), ...changeFields, room: Room }),
]);
export type Change = z.infer<typeof Change>;
export type MessageChange = Extract<Change, { kind: 'message' }>;

/** What the room bus carries: a change, or that the room and its log are gone. */
export const BusMessage = z.discriminatedUnion('kind', [
  Change,
  z.object({ kind: z.literal('deleted'), room_id: RoomId }),
]);
export type BusMessage = z.infer<typeof BusMessage>;

/** As the original shows it: unanswered and declined are both `accepted: false`. */
export function toAnswerFields(accepted: boolean | null): { accepted: boolean; declined: boolean } {
  return { accepted: accepted === true, declined: accepted === false };
}

type ChangeEvent = { [N in ServerEventName]: { name: N; payload: ServerEventPayloads[N] } }[
  | 'message:new'
  | 'member:changed'
  | 'room:changed'];

/** A change as the members of its room are told it on Socket.IO. */
export function toChangeEvent(change: Change): ChangeEvent {
  const { room_id, rev } = change;
  const cursor = formatCursor(change);
  switch (change.kind) {
    case 'message':
      return { name: 'message:new', payload: { ...change.message, rev, cursor } };
    case 'member':
      return {
        name: 'member:changed',
        payload: { room_id, rev, cursor, ...change.rule, ...toAnswerFields(change.rule.accepted) },
      };
    case 'room':
      return { name: 'room:changed', payload: { room_id, rev, cursor, room: change.room } };
  }
}
