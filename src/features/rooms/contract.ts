import { z } from 'zod';
import * as chat from '../../core/contract/chat.ts';
import { defineAnswer, ignoredKeys, refusals } from '../../core/contract/rest.ts';
import * as socketio from '../../core/contract/socketio.ts';
import { Cursor } from '../../core/cursor.ts';
import { ben, examplePosition, exampleRoom, exampleRule } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { AdminLevel, count, flag, NonNilUuid, RoomRef } from '../../core/ids.ts';
import { InboxCursor, ListedRoom, unreadRooms } from '../../core/inbox-item.ts';
import { costs } from '../../core/limits/request-costs.ts';
import { Room, RoomParams, RoomType } from '../../core/room.ts';
import { Custom } from '../messages/draft.ts';

export const RoomListQuery = z.object({
  accepted: flag
    .optional()
    .describe(
      '`true`: only accepted rules. `false`: unanswered and declined rules. Missing: all rooms that the caller can enter.',
    ),
  limit: count(1, 1000).default(1000).describe('The maximum number of rooms.'),
  offset: count(0, 1_000_000).default(0).describe('How many rooms to skip.'),
});
export type RoomListQuery = z.infer<typeof RoomListQuery>;

export const Name = z
  .string({ error: 'must be a string of 1 to 255 characters' })
  .min(1, 'must be a string of 1 to 255 characters')
  .max(255, 'must be a string of 1 to 255 characters')
  .refine((name) => name.isWellFormed() && !name.includes('\0'), 'must be valid Unicode without NUL')
  .describe('Valid Unicode without NUL.');

export const RuleLimit = count(1, 1_000_000);

const maxCustomBytes = 1_024;
const RoomCustom = Custom.refine(
  (custom) => new TextEncoder().encode(JSON.stringify(custom)).length <= maxCustomBytes,
  {
    message: `must be at most ${maxCustomBytes} bytes of JSON`,
  },
).meta({
  id: 'RoomCustom',
  description: `JSON of the app, at most ${maxCustomBytes} bytes of UTF-8. The service does not interpret it.`,
});

const boolean = z.boolean({ error: 'must be true or false' });

/** The fields that a room may have besides its name and its limits. */
export const settings = {
  custom: RoomCustom.nullish().describe('Replaces what the room has; null removes it.'),
  receipts: boolean
    .optional()
    .describe('Whether members see how far the others have read. By default, they do in a `user2user` room.'),
  readers_react: boolean.optional().describe('Whether members who may only read may react to messages.'),
};

const jsonObject = { error: 'the body must be a JSON object' };

export const CreateRoom = z
  .object(
    {
      name: Name,
      level_admin: AdminLevel.default(100).describe('Members of the entity from this level on administer the room.'),
      type: RoomType.default('group').describe('`user2user`: two people, for life.'),
      open_to_entity: z
        .boolean({ error: 'must be true or false' })
        .default(true)
        .describe('false: a private group, without a rule for the entity and without `entity_owner`.'),
      with: NonNilUuid.optional().describe('The other user of a `user2user` room.'),
      max_entity_rules: RuleLimit.optional().describe(
        "The maximum number of its rules: 10 by default, at most the server's `MAX_RULES_PER_ROOM`.",
      ),
      ...settings,
    },
    jsonObject,
  )
  .meta({ id: 'CreateRoom' });
export type CreateRoom = z.infer<typeof CreateRoom>;

const changeable = {
  name: Name.optional(),
  level_admin: AdminLevel.optional(),
  max_entity_rules: RuleLimit.optional().describe(
    "The maximum number of its rules: at least their present number, at most the server's `MAX_RULES_PER_ROOM`.",
  ),
  ...settings,
};

export const ChangeRoom = z
  .object(changeable, jsonObject)
  .refine(
    (change) => Object.values(change).some((value) => value !== undefined),
    'at least one of name, level_admin, max_entity_rules, custom, receipts and readers_react is required',
  )
  .meta({ id: 'ChangeRoom', anyOf: Object.keys(changeable).map((name) => ({ required: [name] })) });
export type ChangeRoom = z.infer<typeof ChangeRoom>;

const maxInboxPage = 200;

const ListQuery = RoomListQuery.extend({
  limit: count(1, 1000)
    .optional()
    .describe('The maximum number of rooms: 1,000 by default; with `inbox=true` 50 by default and at most 200.'),
  inbox: flag.default(false).describe('`true`: what an inbox shows, page by page.'),
  after: InboxCursor.optional().describe('With `inbox=true`: the `next` of the page before.'),
  hidden: flag.default(false).describe('With `inbox=true`: also hidden rooms.'),
})
  .refine(({ inbox, limit = 1 }) => !inbox || limit <= maxInboxPage, {
    path: ['limit'],
    message: `must be at most ${maxInboxPage} with inbox=true`,
  })
  .refine(({ inbox, after }) => inbox || after === undefined, { path: ['after'], message: 'needs inbox=true' })
  .refine(({ inbox, hidden }) => inbox || !hidden, { path: ['hidden'], message: 'needs inbox=true' })
  .refine(({ inbox, offset }) => !inbox || offset === 0, {
    path: ['offset'],
    message: 'cannot be used with inbox=true; use after',
  })
  .refine(({ inbox, accepted }) => !inbox || accepted === undefined, {
    path: ['accepted'],
    message: 'cannot be used with inbox=true',
  });

const roomAnswer = { content: z.object({ room: Room }), meta: ignoredKeys, example: { room: exampleRoom } };

export const rooms = defineFeature('rooms', {
  description: 'Rooms hold messages and the rules for who may read and send them.',
  rest: {
    createRoom: {
      method: 'POST',
      path: '/rooms',
      auth: 'user',
      cost: costs.change,
      summary: 'Create a room',
      description: `Requires \`levelOnEntity\` ≥ 100 (the server's \`ROOM_CREATE_LEVEL\`) or the scope \`rooms:create\`.

A \`group\` starts with two rules: \`rwa\` for its creator, and \`rw\` at level 100 for the creator's entity. A \`user2user\` room
created \`with\` another user exists once for each pair: creating it again returns the existing room and restores the caller's
own access, with the letters that they had.`,
      body: {
        schema: CreateRoom,
        examples: {
          'A group': { name: 'Launch', level_admin: 100, type: 'group' },
          'A pair': { name: 'Ana and Ben', type: 'user2user', with: ben },
          'A private group': { name: 'Just us', open_to_entity: false, max_entity_rules: 50 },
        },
      },
      answers: {
        200: defineAnswer(200, {
          description: 'The room; for a pair that already has a room, the existing room.',
          ...roomAnswer,
        }),
      },
      refusals: [...refusals.user, 'FORBIDDEN', 'TOO_MANY_ROOMS'],
    },
    listRooms: {
      method: 'GET',
      path: '/rooms',
      auth: 'user',
      cost: costs.list,
      summary: 'List the rooms of the caller',
      description: `Newest activity first, each with the rule that grants access: the caller's own rule before the rule of their entity. An owner
administrator sees \`permissions: "rwa"\`. With \`inbox=true\`, each room that the caller can read also has what an inbox shows.`,
      query: ListQuery,
      answers: {
        200: defineAnswer(200, {
          description: 'The rooms.',
          content: z.array(ListedRoom),
          meta: {
            next: z.string().nullable().optional().describe('With `inbox=true`: `after` of the next page, or null.'),
            unread_rooms: unreadRooms.optional().describe('With the first page of `inbox=true`.'),
          },
          example: [{ ...exampleRule, ...exampleRoom }],
        }),
      },
      refusals: refusals.user,
    },
    readRoom: {
      method: 'GET',
      path: '/rooms/:id',
      auth: 'user',
      cost: costs.read,
      summary: 'Read a room and the rights of the caller in it',
      description: 'For callers with a right in the room. If no rule applies to the caller, the room is `NOT_FOUND`.',
      params: RoomParams,
      answers: {
        200: defineAnswer(200, {
          description: 'The room and the letters of `rwa` that the caller has in it.',
          content: z.object({ room: Room, rights: z.string().describe('Letters of `rwa`.') }),
          example: { room: exampleRoom, rights: 'rwa' },
        }),
      },
      refusals: refusals.room,
    },
    changeRoom: {
      method: 'PATCH',
      path: '/rooms/:id',
      auth: 'user',
      cost: costs.change,
      summary: 'Change the name, the limits or the settings of a room',
      description: `For administrators; \`level_admin\` and \`max_entity_rules\` for owner administrators and the user owner. Subscribers receive
\`room:changed\`. A request that changes nothing creates no \`rev\`.`,
      params: RoomParams,
      body: {
        schema: ChangeRoom,
        examples: {
          'Another name': { name: 'Launch day' },
          'Another level': { level_admin: 200 },
          'A higher rule limit': { max_entity_rules: 50 },
          'Data of the app': { custom: { topic: 'Launch' } },
          'Receipts and reactions of readers': { receipts: true, readers_react: true },
        },
      },
      answers: { 200: defineAnswer(200, { description: 'The room as it is now.', ...roomAnswer }) },
      refusals: refusals.room,
    },
    deleteRoom: {
      method: 'DELETE',
      path: '/rooms/:id',
      auth: 'user',
      cost: costs.change,
      summary: 'Delete a room with its rules and messages',
      description: `For owner administrators, the user owner, both users of a pair, and administrators of a private group whose user owner is no
longer an administrator. Subscribers are notified and removed.`,
      params: RoomParams,
      answers: {
        200: defineAnswer(200, { description: 'The room has been deleted.', content: z.null(), example: null }),
      },
      refusals: refusals.room,
    },
  },
  requests: {
    'room:join': {
      payload: z
        .object(
          {
            room_id: RoomRef,
            since: Cursor.nullish().describe('The cursor of the last change that the client applied.'),
          },
          socketio.payloadOptions,
        )
        .meta({
          description:
            'Join or rejoin a room. After the acknowledgement the client receives every change. Requires `r`.',
          examples: [{ room_id: 1 }, { room_id: 1, since: examplePosition.cursor }],
        }),
      ack: socketio.Joined,
      refusals: [...socketio.roomRefusals, 'TOO_MANY_ROOMS'],
      cost: costs.join,
    },
    'room:leave': {
      payload: z.object({ room_id: RoomRef }, socketio.payloadOptions).meta({
        description:
          'Stop receiving changes of a room; the rule remains. Succeeds also if the room is not joined or does not exist.',
        examples: [{ room_id: 1 }],
      }),
      ack: z.object({}),
      refusals: socketio.commonRefusals,
      cost: costs.read,
    },
  },
  commands: {
    select_room: {
      needs: 'token',
      frame: z
        .object({
          type: z.literal('select_room'),
          room_id: RoomRef,
          since: Cursor.nullish().describe('The cursor of the last message or change that the client applied.'),
          events: z
            .boolean({ error: 'must be true or false' })
            .nullish()
            .describe('Receive every change of the room and ephemeral events, not only messages.'),
        })
        .meta({
          description:
            'Legal after `READY`. Enters a room and leaves the previous room, also if it fails. Requires `r`.',
          examples: [
            { type: 'select_room', room_id: 1, since: examplePosition.cursor, id: 2 },
            { type: 'select_room', room_id: 1, events: true, id: 3 },
          ],
        }),
      answers: ['CONNECTED', 'message', ...chat.changeFrameNames, ...chat.beforeTokenFrames, 'NOTAUTHORIZED', 'ERROR'],
      refusals: chat.roomRefusals,
      cost: costs.join,
      leavesRoomOnFailure: true,
    },
  },
});
