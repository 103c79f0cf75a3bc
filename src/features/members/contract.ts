import { z } from 'zod';
import { defineAnswer, ignoredKeys, refusals } from '../../core/contract/rest.ts';
import { ben, entity, exampleRule } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { flag, Level, NonNilUuid, RoomRef, Uuid } from '../../core/ids.ts';
import { costs } from '../../core/limits/request-costs.ts';
import { PermissionRule, Permissions, RoomParams } from '../../core/room.ts';

const jsonObject = { error: 'the body must be a JSON object' };

export const PutMember = z
  .object(
    {
      entity_UUID: NonNilUuid.optional().describe('A user or an entity: a new rule is of kind `any`.'),
      userUUID: NonNilUuid.optional().describe('A user: the rule is of kind `user`.'),
      entityUUID: NonNilUuid.optional().describe('An entity: the rule is of kind `entity`.'),
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

const MemberParams = z.object({ id: RoomRef, uuid: Uuid.describe('The grantee whose rule it is.') });

const ruleAnswer = { content: PermissionRule, meta: ignoredKeys, example: exampleRule };

export const members = defineFeature('members', {
  description: 'The permission rules of a room: what it grants or denies to users and entities.',
  rest: {
    listMembers: {
      method: 'GET',
      path: '/rooms/:id/members',
      auth: 'user',
      cost: costs.rules,
      summary: 'List the rules of a room',
      description: 'For readers.',
      params: RoomParams,
      answers: {
        200: defineAnswer(200, { description: 'The rules.', content: z.array(PermissionRule), example: [exampleRule] }),
      },
      refusals: refusals.room,
    },
    putMember: {
      method: 'PUT',
      path: '/rooms/:id/members',
      auth: 'user',
      cost: costs.change,
      summary: 'Add or change a rule',
      description: `For administrators. Exactly one of \`userUUID\`, \`entityUUID\` and \`entity_UUID\` names the grantee. Fields
that are absent from the body keep their value; whether the rule is accepted never changes. The change takes effect on live connections at once.

\`FORBIDDEN\` also if the rule bans the room's \`user_owner\` or removes their letter \`a\`, unless the caller is the \`user_owner\`
or an owner administrator. In a \`user2user\` room neither user may ban the other or remove one of their letters.`,
      params: RoomParams,
      body: {
        schema: PutMember,
        examples: {
          'A user': { userUUID: ben, permissions: 'rw' },
          'An entity': { entityUUID: entity, permissions: 'r', level: 50 },
          'A ban': { userUUID: ben, permissions: 'b' },
        },
      },
      answers: {
        200: defineAnswer(200, { description: 'The existing rule, as it is now.', ...ruleAnswer }),
        201: defineAnswer(201, { description: 'The new rule.', ...ruleAnswer }),
      },
      refusals: [...refusals.room, 'TOO_MANY_RULES', 'LAST_ADMIN', 'ROOM_FULL', 'PAIR_EXISTS'],
    },
    removeMember: {
      method: 'DELETE',
      path: '/rooms/:id/members/:uuid',
      auth: 'user',
      cost: costs.change,
      summary: 'Remove a rule, or leave',
      description: `For administrators. A user leaves a room by deleting their own rule of kind \`user\` or \`any\`: everybody may, unless the rule has \`b\`.

\`NOT_FOUND\` also if the rule does not exist, \`FORBIDDEN\` also for the rule of the \`user_owner\` and for the other user of
a pair.`,
      params: MemberParams,
      answers: {
        200: defineAnswer(200, { description: 'The rule has been removed.', content: z.null(), example: null }),
      },
      refusals: [...refusals.room, 'LAST_ADMIN'],
    },
    answerInvitation: {
      method: 'PUT',
      path: '/rooms/:id/invitation',
      auth: 'user',
      cost: costs.change,
      summary: 'Accept or decline the rule that names the caller',
      description: `The answer can change at any time. With \`use_parent_entity\` it is the answer of the caller's entity, which requires
\`levelOnEntity\` ≥ 100 and ≥ the rule's \`level\`. \`NOT_FOUND\` also if the rule does not exist.`,
      params: RoomParams,
      body: {
        schema: AnswerInvitation,
        examples: {
          Accept: { accepted: true },
          'Decline for the entity': { accepted: false, use_parent_entity: true },
        },
      },
      answers: {
        200: defineAnswer(200, {
          description: 'The rule as it is now.',
          ...ruleAnswer,
          example: { ...exampleRule, accepted: true },
        }),
      },
      refusals: [...refusals.room, 'LAST_ADMIN'],
    },
  },
});
