import { z } from 'zod';
import { exampleRoom, exampleRule } from './examples.ts';
import { AdminLevel, count, flag, Level, RoomId, RoomRef, Uuid } from './ids.ts';

const date = z.iso.datetime();

export const RoomType = z.enum(['group', 'user2user'], { error: 'must be group or user2user' });
export type RoomType = z.infer<typeof RoomType>;

const roomFields = {
  id: RoomId,
  uuid: Uuid,
  name: z.string(),
  type: RoomType.describe('`user2user`: two people, for life.'),
  level_admin: z.number().int().describe('Members of `entity_owner` from this level on administer the room.'),
  user_owner: Uuid.describe('The user who created it.'),
  entity_owner: Uuid.nullable().describe('The entity of that user; null for a private group and for `user2user`.'),
  max_entity_rules: z.number().int().describe('The maximum number of its rules.'),
  last_seq: z.number().int().describe('The `seq` of its newest message; 0 if it has none.'),
  createdAt: date,
  updatedAt: date.describe('When its `name`, `level_admin` or `max_entity_rules` last changed.'),
};

export const Room = z.object(roomFields).meta({ id: 'Room', examples: [exampleRoom] });
export type Room = z.infer<typeof Room>;

export const RuleKind = z.enum(['user', 'entity', 'any']);
export type RuleKind = z.infer<typeof RuleKind>;

/** The parsed value contains each letter at most once, in the order of `rwab`. */
export const Permissions = z
  .string({ error: 'must be a string of the letters r, w, a, b' })
  .regex(/^[rwab]+$/, 'must be one or more of the letters r, w, a, b')
  .max(64, 'must be one or more of the letters r, w, a, b')
  .transform((letters) => [...'rwab'].filter((letter) => letters.includes(letter)).join(''))
  .describe('Letters: `r` read, `w` write, `a` administer (includes `r` and `w`), `b` banned.');

export const PermissionRule = z
  .object({
    room_id: RoomId,
    entity_UUID: Uuid.describe('The grantee: a user or an entity.'),
    kind: RuleKind.describe('What the UUID is; `any`: a user or an entity.'),
    permissions: z.string().describe('Letters of `rwab`.'),
    level: z.number().int().describe('Of an entity, only members from this `levelOnEntity` on.'),
    accepted: z.boolean().describe('Whether the grantee has accepted. The rule also grants rights before that.'),
    declined: z.boolean().describe('Whether the grantee has declined. Then the rule grants nothing.'),
    createdAt: date,
    updatedAt: date,
  })
  .meta({ id: 'PermissionRule', examples: [exampleRule] });
export type PermissionRule = z.infer<typeof PermissionRule>;

export const RoomListItem = PermissionRule.extend(roomFields).meta({
  id: 'RoomListItem',
  description: "A room and the rule that lets the caller in; `createdAt` and `updatedAt` are the room's.",
  examples: [{ ...exampleRule, ...exampleRoom }],
});
export type RoomListItem = z.infer<typeof RoomListItem>;

const Name = z
  .string({ error: 'must be a string of 1 to 255 characters' })
  .min(1, 'must be a string of 1 to 255 characters')
  .max(255, 'must be a string of 1 to 255 characters')
  .refine((name) => name.isWellFormed() && !name.includes('\0'), 'must be valid Unicode without NUL')
  .describe('Valid Unicode without NUL.');

const RuleLimit = count(1, 1_000_000);

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
      with: Uuid.optional().describe('The other user of a `user2user` room.'),
      max_entity_rules: RuleLimit.optional().describe(
        "The maximum number of its rules: 10 by default, at most the server's `MAX_RULES_PER_ROOM`.",
      ),
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
};

export const ChangeRoom = z
  .object(changeable, jsonObject)
  .refine(
    (change) => Object.values(change).some((value) => value !== undefined),
    'at least one of name, level_admin and max_entity_rules is required',
  )
  .meta({ id: 'ChangeRoom', anyOf: Object.keys(changeable).map((name) => ({ required: [name] })) });
export type ChangeRoom = z.infer<typeof ChangeRoom>;

export const PutMember = z
  .object(
    {
      entity_UUID: Uuid.optional().describe('A user or an entity: a new rule is of kind `any`.'),
      userUUID: Uuid.optional().describe('A user: the rule is of kind `user`.'),
      entityUUID: Uuid.optional().describe('An entity: the rule is of kind `entity`.'),
      permissions: Permissions.optional(),
      level: Level.optional().describe('Of an entity, only members from this level on. 0 by default for a new rule.'),
    },
    jsonObject,
  )
  .refine((body) => [body.entity_UUID, body.userUUID, body.entityUUID].filter(Boolean).length === 1, {
    path: ['entity_UUID'],
    message: 'exactly one of entity_UUID, userUUID and entityUUID is required',
  })
  .meta({
    id: 'PutMember',
    oneOf: [{ required: ['userUUID'] }, { required: ['entityUUID'] }, { required: ['entity_UUID'] }],
  });
export type PutMember = z.infer<typeof PutMember>;

export const AnswerInvitation = z
  .object(
    {
      accepted: flag,
      use_parent_entity: flag.default(false).describe("Answer for the caller's entity instead of the caller."),
    },
    jsonObject,
  )
  .meta({ id: 'AnswerInvitation' });
export type AnswerInvitation = z.infer<typeof AnswerInvitation>;

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

export const RoomParams = z.object({ id: RoomRef });
export const MemberParams = z.object({ id: RoomRef, uuid: Uuid.describe('The grantee whose rule it is.') });
