import { z } from 'zod';
import { defineAnswer, ignoredKeys, refusals } from '../../core/contract/rest.ts';
import { ana, ben, exampleRoom, exampleRule } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { AdminLevel, count, KeyPrefix, NonNilUuid, RoomKeyRef, Uuid } from '../../core/ids.ts';
import { PermissionRule, Room, RoomParams, RoomType } from '../../core/room.ts';
import { dateBound } from '../../core/timestamp.ts';
import { RuleList } from '../admin-members/rule-list.ts';
import { ChangeRoom, Name, RuleLimit, settings } from '../rooms/contract.ts';

const exampleKeyedRoom = { ...exampleRoom, key: 'order-42' } as const;

export const AdminRoom = Room.extend({
  key: z.string().nullable().describe("The product's own key; null if it has none."),
}).meta({ id: 'AdminRoom', examples: [exampleKeyedRoom] });
export type AdminRoom = z.infer<typeof AdminRoom>;

export const PutRoom = z
  .object(
    {
      name: Name.optional().describe('1 to 255 characters; required for a new room.'),
      level_admin: AdminLevel.optional().describe('100 by default for a new room.'),
      max_entity_rules: RuleLimit.optional().describe(
        "How many rules users may give it: 10 by default, at most the server's `MAX_RULES_PER_ROOM`.",
      ),
      ...settings,
      type: RoomType.optional().describe('`group` by default. Cannot change later.'),
      user_owner: Uuid.optional().describe(
        'The user who owns the room; required for `user2user`. By default, the service owns it. Only for a new room.',
      ),
      entity_owner: Uuid.nullish().describe('The entity that owns a group; none by default. Only for a new room.'),
      with: NonNilUuid.optional().describe('The other user of a `user2user` room. Only for a new room.'),
      createdAt: dateBound('from')
        .optional()
        .describe('When it was created, in ISO 8601: for imports. Now by default. Only for a new room.'),
      rules: RuleList.optional().describe(
        'The first rules, at most 1,000; by default those of `POST /rooms`. Only for a new room.',
      ),
    },
    { error: 'the body must be a JSON object' },
  )
  .meta({ id: 'PutRoom' });
export type PutRoom = z.infer<typeof PutRoom>;

export const AdminRoomQuery = z.object({
  user: NonNilUuid.optional().describe('Only rooms with a rule of this user.'),
  entity: Uuid.optional().describe('Only rooms that this entity owns, or that have a rule of it.'),
  key_prefix: KeyPrefix.optional().describe('Only rooms whose key begins like this.'),
  after: count(1, Number.MAX_SAFE_INTEGER).optional().describe('The `next` of the page before.'),
  limit: count(1, 1_000).default(100).describe('The maximum number of rooms.'),
});
export type AdminRoomQuery = z.infer<typeof AdminRoomQuery>;

const roomAnswer = { content: z.object({ room: AdminRoom }), meta: ignoredKeys, example: { room: exampleKeyedRoom } };

export const adminRooms = defineFeature('admin-rooms', {
  description: 'Rooms and their keys, for the backend.',
  rest: {
    adminPutRoom: {
      method: 'PUT',
      path: '/admin/rooms/:id',
      auth: 'admin',
      summary: "Create or change the room that has the product's own key",
      description: `Absent fields stay as they are. \`type\`, \`user_owner\`, \`entity_owner\`, \`with\`, \`createdAt\` and \`rules\` count only if
the room is new. A pair that already has a room keeps it, and the room gets the key. \`KEY_CONFLICT\` if the room of the key has another type,
or the room of the pair has another key.`,
      params: z.object({ id: RoomKeyRef }),
      body: {
        schema: PutRoom,
        examples: {
          'A group': { name: 'Order 42', rules: [{ userUUID: ben, permissions: 'rw' }] },
          'A pair': { name: 'Ana and Ben', type: 'user2user', user_owner: ana, with: ben },
          'Another name': { name: 'Order 42 (sent)', custom: { state: 'sent' } },
        },
      },
      answers: {
        200: defineAnswer(200, { description: 'The existing room, as it is now.', ...roomAnswer }),
        201: defineAnswer(201, { description: 'The new room.', ...roomAnswer }),
      },
      refusals: [...refusals.admin, 'TOO_MANY_RULES', 'KEY_CONFLICT'],
    },
    adminListRooms: {
      method: 'GET',
      path: '/admin/rooms',
      auth: 'admin',
      summary: 'List rooms',
      description: 'In the order of their numbers. A room has to fit all of the given conditions.',
      query: AdminRoomQuery,
      answers: {
        200: defineAnswer(200, {
          description: 'The rooms.',
          content: z.array(AdminRoom),
          meta: { next: z.int().nullable().describe('`after` of the next page, or null.') },
          example: [exampleKeyedRoom],
          exampleMeta: { next: null },
        }),
      },
      refusals: refusals.admin,
    },
    adminReadRoom: {
      method: 'GET',
      path: '/admin/rooms/:id',
      auth: 'admin',
      summary: 'Read a room and its rules',
      params: RoomParams,
      answers: {
        200: defineAnswer(200, {
          description: 'The room and its rules.',
          content: z.object({ room: AdminRoom, rules: z.array(PermissionRule) }),
          example: { room: exampleKeyedRoom, rules: [exampleRule] },
        }),
      },
      refusals: refusals.admin,
    },
    adminChangeRoom: {
      method: 'PATCH',
      path: '/admin/rooms/:id',
      auth: 'admin',
      summary: 'Change the name, the limits or the settings of a room',
      description:
        'Subscribers receive `room:changed` with `by: null`. A request that changes nothing creates no `rev`.',
      params: RoomParams,
      body: {
        schema: ChangeRoom,
        examples: { 'Another name': { name: 'Launch day' }, 'A higher rule limit': { max_entity_rules: 500 } },
      },
      answers: { 200: defineAnswer(200, { description: 'The room as it is now.', ...roomAnswer }) },
      refusals: refusals.admin,
    },
    adminDeleteRoom: {
      method: 'DELETE',
      path: '/admin/rooms/:id',
      auth: 'admin',
      summary: 'Delete a room with its rules and messages',
      description: 'Subscribers are notified and removed. Another room can get the key.',
      params: RoomParams,
      answers: {
        200: defineAnswer(200, { description: 'The room has been deleted.', content: z.null(), example: null }),
      },
      refusals: refusals.admin,
    },
  },
});
