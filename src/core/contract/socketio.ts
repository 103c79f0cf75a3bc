import { z } from 'zod';
import { Cursor } from '../cursor.ts';
import { ErrorCode, RemovalCode, tokenErrorCodes } from '../errors.ts';
import {
  ana,
  ben,
  exampleEditedMessage,
  exampleInboxItem,
  exampleMessage,
  examplePosition,
  exampleRoom,
  exampleRule,
} from '../examples.ts';
import { RoomId, Uuid } from '../ids.ts';
import { InboxItem } from '../inbox-item.ts';
import type { RequestCost } from '../limits/request-costs.ts';
import { Message, ReactionCount, ReactionDelta, Root } from '../log/message.ts';
import { Ignored } from '../parse.ts';
import { Room, RuleKind } from '../room.ts';

export const namespace = '/rooms';

export const rev = z.number().int().nonnegative().describe("Position in the room's log: 1, 2, 3… without gaps.");
export const payloadOptions = { error: 'the payload must be an object' };

const { createdAt: _, updatedAt: __, ...exampleGrant } = exampleRule;

const by = Uuid.nullable().describe('The user who made the change; null for the service and for old changes.');

const changes = z.array(ReactionDelta).optional().describe('In a replay: the reactions that were added and removed.');

export const serverEvents = {
  'message:new': Message.extend({ rev, cursor: Cursor, root: Root.optional(), changes }).meta({
    id: 'MessageNew',
    description: 'A message was sent.',
    examples: [{ ...exampleMessage, ...examplePosition }],
  }),
  'message:changed': Message.extend({
    rev,
    cursor: Cursor,
    root: Root.optional(),
    changes,
  }).meta({
    id: 'MessageChanged',
    description:
      'A message was edited or deleted. Without `reactions` and `replies`, which the client keeps; a replay has both.',
    examples: [{ ...exampleEditedMessage, rev: 4, cursor: '1.4.mwtw6795' }],
  }),
  'reaction:changed': z
    .object({
      room_id: RoomId,
      rev,
      cursor: Cursor,
      seq: z.number().int(),
      reactions: z.array(ReactionCount).describe('All reactions of the message as they are now, without `mine`.'),
      changes: z.array(ReactionDelta).describe('Who added and removed which, in order; at most 50.'),
    })
    .meta({
      id: 'ReactionChanged',
      description: 'Reactions to a message were added or removed.',
      examples: [
        {
          room_id: 1,
          ...examplePosition,
          seq: 1,
          reactions: [{ emoji: '👍', count: 1 }],
          changes: [{ user: ben, emoji: '👍', added: true }],
        },
      ],
    }),
  'change:skipped': z.object({ room_id: RoomId, rev, cursor: Cursor }).meta({
    id: 'ChangeSkipped',
    description:
      'Only in a replay: an entry of a message that the replay has already given in its present state. It moves the position.',
    examples: [{ room_id: 1, ...examplePosition }],
  }),
  'member:changed': z
    .object({
      room_id: RoomId,
      rev,
      cursor: Cursor,
      entity_UUID: Uuid.describe('The grantee: a user or an entity.'),
      kind: RuleKind,
      permissions: z.string().nullable().describe('Letters of `rwab`; null: the rule was removed.'),
      level: z.number().int(),
      accepted: z.boolean(),
      declined: z.boolean(),
      by,
    })
    .meta({
      id: 'MemberChanged',
      description: 'A rule was created, changed, answered or removed.',
      examples: [{ ...exampleGrant, ...examplePosition, by: ana }],
    }),
  'room:changed': z.object({ room_id: RoomId, rev, cursor: Cursor, room: Room, by }).meta({
    id: 'RoomChanged',
    description: 'The name, the level or the rule limit of the room changed. `room` is its new state.',
    examples: [{ room_id: 1, ...examplePosition, room: exampleRoom, by: ana }],
  }),
  'room:removed': z.object({ room_id: RoomId, code: RemovalCode }).meta({
    description: 'Sent to one socket: it has been removed from this room, and only from this room.',
    examples: [{ room_id: 1, code: 'BANNED' }],
  }),
  'inbox:changed': z.object({ items: z.array(InboxItem) }).meta({
    description: 'Sent to one socket: rooms of the open inbox as they are now, up to 50, at most twice a second.',
    examples: [{ items: [exampleInboxItem] }],
  }),
  'inbox:removed': z.object({ room_id: RoomId, code: RemovalCode }).meta({
    description: 'Sent to one socket: the room is no longer in its inbox.',
    examples: [{ room_id: 1, code: 'RULE_REMOVED' }],
  }),
  'inbox:reset': z.object({}).meta({
    description:
      'Sent to one socket: a fresh token has another level or organisation. The inbox is closed; open it again.',
    examples: [{}],
  }),
  'token:expiring': z.object({ in_ms: z.number().int().nonnegative() }).meta({
    description:
      'Sent to one socket 60 s before its token expires, or at once if less time is left: send a fresh token.',
    examples: [{ in_ms: 60_000 }],
  }),
  'server:draining': z.object({ reconnect_after_ms: z.number().int().nonnegative() }).meta({
    description:
      'The node is shutting down and will soon close the connection. Wait this long before a manual reconnect.',
    examples: [{ reconnect_after_ms: 2_810 }],
  }),
} as const;

export type ServerEventName = keyof typeof serverEvents;
export type ServerEventPayloads = { [N in ServerEventName]: z.infer<(typeof serverEvents)[N]> };

const changeEvent = z.discriminatedUnion('name', [
  z.object({ name: z.literal('message:new'), payload: serverEvents['message:new'] }),
  z.object({ name: z.literal('message:changed'), payload: serverEvents['message:changed'] }),
  z.object({ name: z.literal('reaction:changed'), payload: serverEvents['reaction:changed'] }),
  z.object({ name: z.literal('change:skipped'), payload: serverEvents['change:skipped'] }),
  z.object({ name: z.literal('member:changed'), payload: serverEvents['member:changed'] }),
  z.object({ name: z.literal('room:changed'), payload: serverEvents['room:changed'] }),
]);

export const Joined = z.object({
  room: Room,
  rights: z.string().describe('The letters of `rwa` that the caller has.'),
  rev,
  cursor: Cursor,
  recovered: z.boolean().describe('Whether `events` has all changes since the given cursor.'),
  events: z.array(changeEvent).describe('Missed changes, in the order of `rev`; empty unless `recovered`.'),
});
export type Joined = z.infer<typeof Joined>;

/** Error codes of every request. */
export const commonRefusals = ['BAD_REQUEST', 'RATE_LIMITED', 'INTERNAL', 'UNAVAILABLE'] as const;
/** Error codes of every request that accesses a room. */
export const roomRefusals = [...commonRefusals, 'NOT_FOUND', 'FORBIDDEN', 'BANNED'] as const;

export interface SocketRequest {
  payload: z.ZodType;
  ack: z.ZodObject;
  refusals: readonly ErrorCode[];
  cost: RequestCost;
  /**
   * Whether it is answered at once: it neither waits for earlier requests of the connection nor counts for rate limits.
   */
  isImmediate?: true;
}

export type InferPayload<Q extends SocketRequest> = z.infer<Q['payload']>;
export type InferAck<Q extends SocketRequest> = z.infer<Q['ack']>;

/** The schema of the acknowledgement if the request succeeds. */
export const defineAcceptedAck = ({ ack }: SocketRequest) =>
  z.object({ ok: z.literal(true), ...ack.shape, ignored: Ignored.optional() });

export const RefusedAck = z
  .object({
    ok: z.literal(false),
    error: z.object({
      code: ErrorCode,
      message: z.string(),
      field: z.string().optional().describe('If a single field is invalid.'),
      retry_after_ms: z.number().int().optional().describe('If the time is known.'),
      current: Message.optional().describe('With `CONFLICT`: the message as it is now.'),
    }),
  })
  .meta({
    id: 'RefusedAck',
    examples: [{ ok: false, error: { code: 'BAD_REQUEST', message: 'must not be empty', field: 'content' } }],
  });
export type RefusedAck = z.infer<typeof RefusedAck>;

/** The `auth` object of a connect. The token may be in an `Authorization: Bearer` header of the handshake instead. */
export const ConnectAuth = z.object({ token: z.string().describe('A JWT.') }).meta({
  id: 'ConnectAuth',
  examples: [{ token: 'eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyVVVJRCI6IuKApiJ9.c2lnbmF0dXJl' }],
});

/** The `data` object of a `connect_error`. */
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
    field: z.string().optional().describe('The invalid claim.'),
    retry_after_ms: z.number().int().optional().describe('If the time is known.'),
  })
  .meta({ id: 'ConnectError', examples: [{ code: 'TOKEN_EXPIRED', message: 'The token has expired' }] });
