import { z } from 'zod';
import type { AnnouncementName, Announcements } from '../../protocol/socket-events.ts';
import { cursorOf } from '../cursor.ts';
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

const position = { room_id: RoomId, rev: z.number().int().positive(), at: z.number().int() };

/** One durable entry of a room's log, as it is kept and as it travels between nodes. */
export const Change = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('message'), ...position, message: Message }),
  z.object({ kind: z.literal('member'), ...position, rule: Grant }),
  z.object({ kind: z.literal('room'), ...position, room: Room }),
]);
export type Change = z.infer<typeof Change>;
export type MessageChange = Extract<Change, { kind: 'message' }>;

/** What the room bus carries: a change, or that the room and its log are gone. */
export const Envelope = z.discriminatedUnion('kind', [
  Change,
  z.object({ kind: z.literal('deleted'), room_id: RoomId }),
]);
export type Envelope = z.infer<typeof Envelope>;

/** As the original shows it: unanswered and declined are both `accepted: false`. */
export function shownAnswer(accepted: boolean | null): { accepted: boolean; declined: boolean } {
  return { accepted: accepted === true, declined: accepted === false };
}

type Announcement = { [N in AnnouncementName]: { name: N; payload: Announcements[N] } }[
  | 'message:new'
  | 'member:changed'
  | 'room:changed'];

/** A change as the members of its room are told it on Socket.IO. */
export function announcementOf(change: Change): Announcement {
  const { room_id, rev } = change;
  const cursor = cursorOf(change);
  switch (change.kind) {
    case 'message':
      return { name: 'message:new', payload: { ...change.message, rev, cursor } };
    case 'member':
      return {
        name: 'member:changed',
        payload: { room_id, rev, cursor, ...change.rule, ...shownAnswer(change.rule.accepted) },
      };
    case 'room':
      return { name: 'room:changed', payload: { room_id, rev, cursor, room: change.room } };
  }
}
