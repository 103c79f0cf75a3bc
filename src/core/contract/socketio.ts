import { z } from 'zod';
import { Cursor } from '../cursor.ts';
import { ErrorCode, RemovalCode, tokenErrorCodes } from '../errors.ts';
import { exampleMessage, examplePosition, exampleRoom, exampleRule } from '../examples.ts';
import { RoomId, RoomRef, Uuid } from '../ids.ts';
import { costs, type RequestCost } from '../limits/request-costs.ts';
import { atMostOneAnchor, Draft, Message, pageAnchors, pageSize } from '../log/message.ts';
import { Room, RuleKind } from '../room.ts';
import { Ignored } from '../unknown-keys.ts';

export const namespace = '/rooms';

const rev = z.number().int().nonnegative().describe("Position in the room's log: 1, 2, 3… without gaps.");
const payloadOptions = { error: 'the payload must be an object' };

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

const commonRefusals = ['BAD_REQUEST', 'RATE_LIMITED', 'INTERNAL', 'UNAVAILABLE'] as const;
const roomRefusals = [...commonRefusals, 'NOT_FOUND', 'FORBIDDEN', 'BANNED'] as const;

export const requests = {
  'room:join': {
    payload: z
      .object(
        { room_id: RoomRef, since: Cursor.nullish().describe('Of the last change that was applied.') },
        payloadOptions,
      )
      .meta({
        description: 'Come into a room, or come back: from the acknowledgement on every change is told. Needs `r`.',
        examples: [{ room_id: 1 }, { room_id: 1, since: examplePosition.cursor }],
      }),
    ack: Joined,
    refusals: [...roomRefusals, 'TOO_MANY_ROOMS'],
    cost: costs.join,
  },
  'room:leave': {
    payload: z.object({ room_id: RoomRef }, payloadOptions).meta({
      description:
        'Hear no more of a room; the rule stays. Leaving a room that is not joined, or does not exist, is fine.',
      examples: [{ room_id: 1 }],
    }),
    ack: z.object({}),
    refusals: commonRefusals,
    cost: costs.read,
  },
  'message:send': {
    payload: Draft.extend({ room_id: RoomRef }).meta({
      description: 'Send a message; the room need not be joined. Needs `w`. What is acknowledged is stored.',
      examples: [{ room_id: 1, content: exampleMessage.content, client_msg_id: exampleMessage.client_msg_id }],
    }),
    ack: z.object({
      message: Message,
      duplicate: z.boolean().describe('Whether this `client_msg_id` had been sent before: it is the first message.'),
      rev,
      cursor: Cursor,
    }),
    refusals: [...roomRefusals, 'TOO_LARGE', 'ID_REUSED'],
    cost: costs.message,
  },
  'message:history': {
    payload: z
      .object({ room_id: RoomRef, ...pageAnchors, limit: pageSize(100) }, payloadOptions)
      .refine(...atMostOneAnchor)
      .meta({
        description: 'One page of history, oldest first; the room need not be joined. Needs `r`.',
        examples: [{ room_id: 1, before: 51, limit: 50 }],
      }),
    ack: z.object({
      messages: z.array(Message),
      rev,
      cursor: Cursor,
      has_more: z.boolean().describe('Whether there is more in the direction of the request.'),
    }),
    refusals: roomRefusals,
    cost: costs.page,
  },
  'token:refresh': {
    payload: z.object({ token: z.string({ error: 'must be a JWT' }) }, payloadOptions).meta({
      description: 'A fresh token of the same user. Every joined room is judged anew with it.',
      examples: [{ token: 'eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyVVVJRCI6IuKApiJ9.c2lnbmF0dXJl' }],
    }),
    ack: z.object({
      expires_at: z.number().nullable().describe('Seconds since 1970, as in `exp`; null when the token has no end.'),
    }),
    refusals: [...commonRefusals, ...tokenErrorCodes],
    cost: costs.token,
  },
} as const satisfies Record<
  string,
  { payload: z.ZodType; ack: z.ZodObject; refusals: readonly ErrorCode[]; cost: RequestCost }
>;

export type RequestName = keyof typeof requests;
export type RequestPayload<N extends RequestName> = z.infer<(typeof requests)[N]['payload']>;
export type Ack<N extends RequestName> = z.infer<(typeof requests)[N]['ack']>;

/** A request that is obeyed. */
export const defineAcceptedAck = (name: RequestName) =>
  z.object({ ok: z.literal(true), ...requests[name].ack.shape, ignored: Ignored.optional() });

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
