import { z } from 'zod';
import { AdminLevel, count, flag, Level, RoomId, RoomRef, Uuid } from './identifiers.ts';

const date = z.iso.datetime();

export const RoomType = z.enum(['group', 'user2user'], { error: 'must be group or user2user' });
export type RoomType = z.infer<typeof RoomType>;

export const Room = z.object({
  id: RoomId,
  uuid: Uuid,
  name: z.string(),
  type: RoomType,
  level_admin: z.number().int().describe('Members of the owning entity from this level on administer the room.'),
  user_owner: Uuid,
  entity_owner: Uuid.nullable(),
  max_entity_rules: z.number().int(),
  last_seq: z.number().int().describe('The seq of the newest message; 0 when there is none.'),
  createdAt: date,
  updatedAt: date,
});
export type Room = z.infer<typeof Room>;

export const RuleKind = z.enum(['user', 'entity', 'any']);
export type RuleKind = z.infer<typeof RuleKind>;

/** The letters of `rwab` that are given, each once and in that order. */
export const Permissions = z
  .string({ error: 'must be a string of the letters r, w, a, b' })
  .regex(/^[rwab]+$/, 'must be one or more of the letters r, w, a, b')
  .max(64, 'must be one or more of the letters r, w, a, b')
  .transform((letters) => [...'rwab'].filter((letter) => letters.includes(letter)).join(''));

export const PermissionRule = z.object({
  room_id: RoomId,
  entity_UUID: Uuid,
  kind: RuleKind,
  permissions: z.string(),
  level: z.number().int(),
  accepted: z.boolean(),
  declined: z.boolean(),
  createdAt: date,
  updatedAt: date,
});
export type PermissionRule = z.infer<typeof PermissionRule>;

/** `GET /rooms`: the rule that lets the caller in, and the room. */
export const RoomListItem = PermissionRule.extend(Room.shape);
export type RoomListItem = z.infer<typeof RoomListItem>;

const Name = z
  .string({ error: 'must be a string of 1 to 255 characters' })
  .min(1, 'must be a string of 1 to 255 characters')
  .max(255, 'must be a string of 1 to 255 characters')
  .refine((name) => name.isWellFormed() && !name.includes('\0'), 'must be valid Unicode without NUL');

const jsonObject = { error: 'the body must be a JSON object' };

export const CreateRoom = z.object(
  {
    name: Name,
    level_admin: AdminLevel.default(100),
    type: RoomType.default('group'),
    open_to_entity: z.boolean({ error: 'must be true or false' }).default(true),
    with: Uuid.optional(),
    max_entity_rules: count(1, 1_000_000).optional(),
  },
  jsonObject,
);
export type CreateRoom = z.infer<typeof CreateRoom>;

export const ChangeRoom = z
  .object({ name: Name.optional(), level_admin: AdminLevel.optional() }, jsonObject)
  .refine((change) => change.name !== undefined || change.level_admin !== undefined, 'name or level_admin is needed');
export type ChangeRoom = z.infer<typeof ChangeRoom>;

export const PutMember = z
  .object(
    {
      entity_UUID: Uuid.optional(),
      userUUID: Uuid.optional(),
      entityUUID: Uuid.optional(),
      permissions: Permissions.optional(),
      level: Level.optional(),
    },
    jsonObject,
  )
  .refine((body) => [body.entity_UUID, body.userUUID, body.entityUUID].filter(Boolean).length === 1, {
    path: ['entity_UUID'],
    message: 'exactly one of entity_UUID, userUUID and entityUUID is needed',
  });
export type PutMember = z.infer<typeof PutMember>;

export const AnswerInvitation = z.object(
  {
    accepted: flag,
    use_parent_entity: flag.default(false),
  },
  jsonObject,
);
export type AnswerInvitation = z.infer<typeof AnswerInvitation>;

export const RoomListQuery = z.object({
  accepted: flag.optional(),
  limit: count(1, 1000).default(1000),
  offset: count(0, 1_000_000).default(0),
});
export type RoomListQuery = z.infer<typeof RoomListQuery>;

export const RoomParams = z.object({ id: RoomRef });
export const MemberParams = z.object({ id: RoomRef, uuid: Uuid });
