import { z } from 'zod';
import { defineAnswer, ignoredKeys, refusals } from '../../core/contract/rest.ts';
import { ben, entity } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { RoomParams } from '../../core/room.ts';
import { RuleList } from './rule-list.ts';

export const PutRules = z
  .object(
    {
      rules: RuleList.describe('At most 1,000 rules, at most one for each grantee.'),
      replace: z
        .boolean({ error: 'must be true or false' })
        .default(false)
        .describe('Remove the rules that the list does not name, except for bans (rules with `b`).'),
    },
    { error: 'the body must be a JSON object' },
  )
  .meta({ id: 'PutRules' });
export type PutRules = z.infer<typeof PutRules>;

const ruleCount = z.int().nonnegative();

export const adminMembers = defineFeature('admin-members', {
  description: 'The rules of a room, for the backend.',
  rest: {
    adminPutMembers: {
      method: 'PUT',
      path: '/admin/rooms/:id/members',
      auth: 'admin',
      summary: 'Set many rules of a room',
      description: `In one transaction. Only differences become changes, with \`by: null\`; they take effect on live connections at once.
\`TOO_MANY_CHANGES\` if more than 400 rules of a room differ that somebody has joined: send the list in parts.`,
      params: RoomParams,
      body: {
        schema: PutRules,
        examples: {
          'Two rules': {
            rules: [
              { userUUID: ben, permissions: 'rw', accepted: true },
              { entityUUID: entity, permissions: 'r', level: 50 },
            ],
          },
          'All members': { rules: [{ userUUID: ben, permissions: 'rw' }], replace: true },
          'A removed rule': { rules: [{ userUUID: ben, permissions: null }] },
        },
      },
      answers: {
        200: defineAnswer(200, {
          description: 'How many rules were added, changed and removed.',
          content: z.object({ added: ruleCount, changed: ruleCount, removed: ruleCount }),
          meta: ignoredKeys,
          example: { added: 2, changed: 0, removed: 0 },
        }),
      },
      refusals: [...refusals.admin, 'TOO_MANY_CHANGES', 'TOO_MANY_RULES', 'ROOM_FULL', 'PAIR_EXISTS'],
    },
  },
});
