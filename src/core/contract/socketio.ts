import { z } from 'zod';
import { Cursor } from '../cursor.ts';
import { ErrorCode, RemovalCode, tokenErrorCodes } from '../errors.ts';
import { exampleMessage, examplePosition, exampleRoom, exampleRule } from '../examples.ts';
import { RoomId, Uuid } from '../ids.ts';
import type { RequestCost } from '../limits/request-costs.ts';
import { Message } from '../log/message.ts';
import { Room, RuleKind } from '../room.ts';
import { Ignored } from '../unknown-keys.ts';

export const namespace = '/rooms';

export const rev = z.number().int().nonnegative().describe("Position in the room's log: 1, 2, 3… without gaps.");
export const payloadOptions = { error: 'the payload must be an object' };

const { createdAt: _, updatedAt: __, ...exampleGrant } = exampleRule;

export const serverEvents = {
  'message:new': Message.extend({ rev, cursor: Cursor }).meta({
    id: 'MessageNew',
    description: 'A message was sent.',
    examples: [{ ...exampleMessage, ...examplePosition }],
  }),
  'member:changed': z
    .object({
      room_id: RoomId,
      rev,
      cursor: Cursor,
      entity_UUID: Uuid.describe('The grantee: a user or an entity.'),
      kind: RuleKind,
      permissions: z.string().nullable().describe('Letters of `rwab`; null: the rule is gone.'),
      level: z.number().int(),
      accepted: z.boolean(),
      declined: z.boolean(),
    })
    .meta({
      id: 'MemberChanged',
      description: 'A rule was made, changed, answered or removed.',
      examples: [{ ...exampleGrant, ...examplePosition }],
    }),
  'room:changed': z.object({ room_id: RoomId, rev, cursor: Cursor, room: Room }).meta({
    id: 'RoomChanged',
    description: 'The name, the level or the rule limit of the room changed. The room as it is now.',
    examples: [{ room_id: 1, ...examplePosition, room: exampleRoom }],
  }),
  'room:removed': z.object({ room_id: RoomId, code: RemovalCode }).meta({
    description: 'To one socket: it has been taken out of this room, and of this room only.',
    examples: [{ room_id: 1, code: 'BANNED' }],
  }),
  'token:expiring': z.object({ in_ms: z.number().int().nonnegative() }).meta({
    description: 'To one socket, 60 s before its token ends or at once when less is left: send a fresh one.',
    examples: [{ in_ms: 60_000 }],
  }),
  'server:draining': z.object({ reconnect_after_ms: z.number().int().nonnegative() }).meta({
    description: 'The node shuts down, and closes the connection soon. Who reconnects by hand waits so long first.',
    examples: [{ reconnect_after_ms: 2_810 }],
  }),
} as const;

export type ServerEventName = keyof typeof serverEvents;
export type ServerEventPayloads = { [N in ServerEventName]: z.infer<(typeof serverEvents)[N]> };

const changeEvent = z.discriminatedUnion('name', [
  z.object({ name: z.literal('message:new'), payload: serverEvents['message:new'] }),
  z.object({ name: z.literal('member:changed'), payload: serverEvents['member:changed'] }),
  z.object({ name: z.literal('room:changed'), payload: serverEvents['room:changed'] }),
]);

export const Joined = z.object({
  room: Room,
  rights: z.string().describe('The letters of `rwa` that the caller has.'),
  rev,
  cursor: Cursor,
  recovered: z.boolean().describe('Whether `events` is everything since the given cursor.'),
  events: z.array(changeEvent).describe('What was missed, in the order of `rev`; empty unless `recovered`.'),
});
export type Joined = z.infer<typeof Joined>;

/** The refusals of every request, and of those that name a room. */
export const commonRefusals = ['BAD_REQUEST', 'RATE_LIMITED', 'INTERNAL', 'UNAVAILABLE'] as const;
export const roomRefusals = [...commonRefusals, 'NOT_FOUND', 'FORBIDDEN', 'BANNED'] as const;

export interface SocketRequest {
  payload: z.ZodType;
  ack: z.ZodObject;
  refusals: readonly ErrorCode[];
  cost: RequestCost;
}

export type InferPayload<Q extends SocketRequest> = z.infer<Q['payload']>;
export type InferAck<Q extends SocketRequest> = z.infer<Q['ack']>;

/** The acknowledgement of a request that succeeds. */
export const defineAcceptedAck = ({ ack }: SocketRequest) =>
  z.object({ ok: z.literal(true), ...ack.shape, ignored: Ignored.optional() });

export const RefusedAck = z
  .object({
    ok: z.literal(false),
    error: z.object({
      code: ErrorCode,
      message: z.string(),
      field: z.string().optional().describe('Where one field is at fault.'),
      retry_after_ms: z.number().int().optional().describe('Where the time is known.'),
    }),
  })
  .meta({
    id: 'RefusedAck',
    examples: [{ ok: false, error: { code: 'BAD_REQUEST', message: 'must not be empty', field: 'content' } }],
  });
export type RefusedAck = z.infer<typeof RefusedAck>;

/** `auth` of a connect; an `Authorization: Bearer` header of the handshake may say the same. */
export const ConnectAuth = z.object({ token: z.string().describe('A JWT.') }).meta({
  id: 'ConnectAuth',
  examples: [{ token: 'eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyVVVJRCI6IuKApiJ9.c2lnbmF0dXJl' }],
});

/** `data` of a `connect_error`. */
export const ConnectError = z
  .object({
    code: ErrorCode.extract([
      ...tokenErrorCodes,
      'TOO_MANY_CONNECTIONS',
      'RATE_LIMITED',
      'UNAVAILABLE',
      'TOO_LARGE',
      'INTERNAL',
    ]),
    message: z.string(),
    field: z.string().optional().describe('The claim that is at fault.'),
    retry_after_ms: z.number().int().optional().describe('Where the time is known.'),
  })
  .meta({ id: 'ConnectError', examples: [{ code: 'TOKEN_EXPIRED', message: 'The token has expired' }] });
