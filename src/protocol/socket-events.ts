import { z } from 'zod';
import { Cursor } from './cursor.ts';
import { ErrorCode, RemovalCode } from './errors.ts';
import { RoomId, RoomRef, Uuid } from './identifiers.ts';
import { Draft, Message, onePosition, pageSize, position } from './message.ts';
import { Room, RuleKind } from './room.ts';

export const namespace = '/rooms';

const rev = z.number().int().nonnegative().describe("Position in the room's log: 1, 2, 3… without gaps.");
const payload = { error: 'the payload must be an object' };

export const announcements = {
  'message:new': Message.extend({ rev, cursor: Cursor }),
  'member:changed': z.object({
    room_id: RoomId,
    rev,
    cursor: Cursor,
    entity_UUID: Uuid,
    kind: RuleKind,
    permissions: z.string().nullable().describe('null: the rule is gone.'),
    level: z.number().int(),
    accepted: z.boolean(),
    declined: z.boolean(),
  }),
  'room:changed': z.object({ room_id: RoomId, rev, cursor: Cursor, room: Room }),
  'room:removed': z.object({ room_id: RoomId, code: RemovalCode }),
  'token:expiring': z.object({ in_ms: z.number().int().nonnegative() }),
  'server:draining': z.object({ reconnect_after_ms: z.number().int().nonnegative() }),
} as const;

export type AnnouncementName = keyof typeof announcements;
export type Announcements = { [N in AnnouncementName]: z.infer<(typeof announcements)[N]> };

const loggedEvent = z.discriminatedUnion('name', [
  z.object({ name: z.literal('message:new'), payload: announcements['message:new'] }),
  z.object({ name: z.literal('member:changed'), payload: announcements['member:changed'] }),
  z.object({ name: z.literal('room:changed'), payload: announcements['room:changed'] }),
]);

export const Joined = z.object({
  room: Room,
  rights: z.string().describe('The letters of `rwa` that the caller has.'),
  rev,
  cursor: Cursor,
  recovered: z.boolean().describe('Whether `events` is everything since the given cursor.'),
  events: z.array(loggedEvent),
});
export type Joined = z.infer<typeof Joined>;

export const requests = {
  'room:join': { payload: z.object({ room_id: RoomRef, since: Cursor.nullish() }, payload), ack: Joined },
  'room:leave': { payload: z.object({ room_id: RoomRef }, payload), ack: z.object({}) },
  'message:send': {
    payload: Draft.extend({ room_id: RoomRef }),
    ack: z.object({ message: Message, duplicate: z.boolean(), rev, cursor: Cursor }),
  },
  'message:history': {
    payload: z.object({ room_id: RoomRef, ...position, limit: pageSize(100) }, payload).refine(...onePosition),
    ack: z.object({ messages: z.array(Message), rev, cursor: Cursor, has_more: z.boolean() }),
  },
  'token:refresh': {
    payload: z.object({ token: z.string({ error: 'must be a JWT' }) }, payload),
    ack: z.object({
      expires_at: z.number().nullable().describe('Seconds since 1970, as in `exp`; null when the token has no end.'),
    }),
  },
} as const;

export type RequestName = keyof typeof requests;
export type RequestPayload<N extends RequestName> = z.infer<(typeof requests)[N]['payload']>;
export type Ack<N extends RequestName> = z.infer<(typeof requests)[N]['ack']>;

export const RefusedAck = z.object({
  ok: z.literal(false),
  error: z.object({
    code: ErrorCode,
    message: z.string(),
    field: z.string().optional(),
    retry_after_ms: z.number().int().optional(),
  }),
});
export type RefusedAck = z.infer<typeof RefusedAck>;
