import { z } from 'zod';
import * as chat from '../../core/contract/chat.ts';
import { defineAnswer, ignoredKeys, refusals } from '../../core/contract/rest.ts';
import * as socketio from '../../core/contract/socketio.ts';
import { Cursor } from '../../core/cursor.ts';
import { ben, examplePosition, exampleRoom, exampleRule } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { RoomRef } from '../../core/ids.ts';
import { costs } from '../../core/limits/request-costs.ts';
import { ChangeRoom, CreateRoom, Room, RoomListItem, RoomListQuery, RoomParams } from '../../core/room.ts';

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
administrator sees \`permissions: "rwa"\`.`,
      query: RoomListQuery,
      answers: {
        200: defineAnswer(200, {
          description: 'The rooms.',
          content: z.array(RoomListItem),
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
      summary: 'Change the name, the level or the rule limit of a room',
      description: `For administrators; \`level_admin\` and \`max_entity_rules\` for owner administrators and the user owner. Subscribers receive
\`room:changed\`. A request that changes nothing creates no \`rev\`.`,
      params: RoomParams,
      body: {
        schema: ChangeRoom,
        examples: {
          'Another name': { name: 'Launch day' },
          'Another level': { level_admin: 200 },
          'A higher rule limit': { max_entity_rules: 50 },
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
          since: Cursor.nullish().describe('The cursor of the last message that the client applied.'),
        })
        .meta({
          description:
            'Legal after `READY`. Enters a room and leaves the previous room, also if it fails. Requires `r`.',
          examples: [{ type: 'select_room', room_id: 1, since: examplePosition.cursor, id: 2 }],
        }),
      answers: ['CONNECTED', 'message', ...chat.beforeTokenFrames, 'NOTAUTHORIZED', 'ERROR'],
      refusals: chat.roomRefusals,
      cost: costs.join,
      leavesRoomOnFailure: true,
    },
  },
});
