import { z } from 'zod';
import { exampleRoom, exampleRule } from './examples.ts';
import { RoomId, RoomRef, Uuid } from './ids.ts';
import { CustomData } from './log/message.ts';

const date = z.iso.datetime();

export const RoomType = z.enum(['group', 'user2user'], { error: 'must be group or user2user' });
export type RoomType = z.infer<typeof RoomType>;

export const Room = z
  .object({
    id: RoomId,
    uuid: Uuid,
    name: z.string(),
    type: RoomType.describe('`user2user`: two people, for life.'),
    level_admin: z.number().int().describe('Members of `entity_owner` from this level on administer the room.'),
    user_owner: Uuid.describe('The user who created it.'),
    entity_owner: Uuid.nullable().describe('The entity of that user; null for a private group and for `user2user`.'),
    max_entity_rules: z.number().int().describe('The maximum number of its rules.'),
    last_seq: z.number().int().describe('The `seq` of its newest message; 0 if it has none.'),
    custom: CustomData.optional(),
    receipts: z.literal(true).optional().describe('Members see how far the others have read. Left out if they do not.'),
    readers_react: z
      .literal(true)
      .optional()
      .describe('Members who may only read may react to messages. Left out if they may not.'),
    createdAt: date,
    updatedAt: date.describe('When the room itself last changed: its name, its limits or its settings.'),
  })
  .meta({ id: 'Room', examples: [exampleRoom] });
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

export const RoomParams = z.object({ id: RoomRef });
