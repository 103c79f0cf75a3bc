import { z } from 'zod';
import { defineAnswer, ignoredKeys, refusals } from '../../core/contract/rest.ts';
import { ben, entity, exampleRule } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { costs } from '../../core/limits/request-costs.ts';
import { AnswerInvitation, MemberParams, PermissionRule, PutMember, RoomParams } from '../../core/room.ts';

const ruleAnswer = { content: PermissionRule, meta: ignoredKeys, example: exampleRule };

export const members = defineFeature('members', {
  description: 'The permission rules of a room: whom it grants or denies what.',
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
      summary: 'Add a rule, or change the one there is',
      description: `For administrators. Exactly one of \`userUUID\`, \`entityUUID\` and \`entity_UUID\` names the grantee. What the body does
not name stays as it is; whether the rule is accepted is never touched. The change works at once on live connections.

\`FORBIDDEN\` also if it bans the room's \`user_owner\` or takes the letter \`a\` from them, and the caller is neither they
nor an owner administrator. Neither of the two of a \`user2user\` room may ban the other or take a letter away from him.`,
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
        200: defineAnswer(200, { description: 'The rule that there was, as it is now.', ...ruleAnswer }),
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
      description: `For administrators. Deleting one's own rule of kind \`user\` or \`any\` is leaving: everybody may, unless the rule has \`b\`.

\`NOT_FOUND\` also where there is no such rule, \`FORBIDDEN\` also for the rule of the \`user_owner\` and for the other user of
a pair.`,
      params: MemberParams,
      answers: { 200: defineAnswer(200, { description: 'It is gone.', content: z.null(), example: null }) },
      refusals: [...refusals.room, 'LAST_ADMIN'],
    },
    answerInvitation: {
      method: 'PUT',
      path: '/rooms/:id/invitation',
      auth: 'user',
      cost: costs.change,
      summary: 'Say yes or no to the rule that names the caller',
      description: `Yes can become no, and no can become yes. With \`use_parent_entity\` it is the answer of the caller's entity, which needs
\`levelOnEntity\` ≥ 100 and ≥ the rule's \`level\`. \`NOT_FOUND\` also where there is no such rule.`,
      params: RoomParams,
      body: {
        schema: AnswerInvitation,
        examples: { Yes: { accepted: true }, 'No, for the entity': { accepted: false, use_parent_entity: true } },
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
