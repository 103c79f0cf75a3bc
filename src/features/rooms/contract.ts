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
  description: 'Where messages go.',
  rest: {
    createRoom: {
      method: 'POST',
      path: '/rooms',
      auth: 'user',
      cost: costs.change,
      summary: 'Make a room',
      description: `Needs \`levelOnEntity\` ≥ 100 (the server's \`ROOM_CREATE_LEVEL\`) or the scope \`rooms:create\`.

A \`group\` begins with two rules: its maker \`rwa\`, and his entity \`rw\` at level 100. A \`user2user\` made \`with\` somebody
exists once for each pair: making it again answers the room there is and restores the caller's own access, with the letters
that they had.`,
      body: {
        schema: CreateRoom,
        examples: {
          'A group': { name: 'Launch', level_admin: 100, type: 'group' },
          'A pair': { name: 'Ana and Ben', type: 'user2user', with: ben },
          'A private group': { name: 'Just us', open_to_entity: false, max_entity_rules: 50 },
        },
      },
      answers: { 200: defineAnswer(200, { description: 'The room, also where the pair had one.', ...roomAnswer }) },
      refusals: [...refusals.user, 'FORBIDDEN', 'TOO_MANY_ROOMS'],
    },
    listRooms: {
      method: 'GET',
      path: '/rooms',
      auth: 'user',
      cost: costs.list,
      summary: 'List the rooms the caller can be in',
      description: `Newest activity first, each with the rule that lets him in: his own before his entity's. An owner administrator
sees \`permissions: "rwa"\`.`,
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
      summary: 'Read a room, and what the caller may do in it',
      description: 'For anyone with a right in it. A room that nothing leads the caller to is `NOT_FOUND`.',
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
      description: `For administrators; \`level_admin\` and \`max_entity_rules\` for owner administrators and the user owner. Members hear
\`room:changed\`. What changes nothing makes no \`rev\`.`,
      params: RoomParams,
      body: {
        schema: ChangeRoom,
        examples: {
          'Another name': { name: 'Launch day' },
          'Another level': { level_admin: 200 },
          'Room for more rules': { max_entity_rules: 50 },
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
      description: `For owner administrators, the user owner, both of a pair, and administrators of a private group whose user owner does not
administer it any more. Everybody inside is told and taken out.`,
      params: RoomParams,
      answers: { 200: defineAnswer(200, { description: 'It is gone.', content: z.null(), example: null }) },
      refusals: refusals.room,
    },
  },
  requests: {
    'room:join': {
      payload: z
        .object(
          { room_id: RoomRef, since: Cursor.nullish().describe('Of the last change that was applied.') },
          socketio.payloadOptions,
        )
        .meta({
          description: 'Come into a room, or come back: from the acknowledgement on every change is told. Needs `r`.',
          examples: [{ room_id: 1 }, { room_id: 1, since: examplePosition.cursor }],
        }),
      ack: socketio.Joined,
      refusals: [...socketio.roomRefusals, 'TOO_MANY_ROOMS'],
      cost: costs.join,
    },
    'room:leave': {
      payload: z.object({ room_id: RoomRef }, socketio.payloadOptions).meta({
        description:
          'Hear no more of a room; the rule stays. Leaving a room that is not joined, or does not exist, is fine.',
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
          since: Cursor.nullish().describe('Of the last message that was applied.'),
        })
        .meta({
          description:
            'Legal after `READY`. Comes into a room and leaves the one before, also when it fails. Needs `r`.',
          examples: [{ type: 'select_room', room_id: 1, since: examplePosition.cursor, id: 2 }],
        }),
      answers: ['CONNECTED', 'message', ...chat.beforeTokenFrames, 'NOTAUTHORIZED', 'ERROR'],
      refusals: chat.roomRefusals,
      cost: costs.join,
      leavesRoomOnFailure: true,
    },
  },
});
