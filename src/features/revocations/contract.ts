import { z } from 'zod';
import { defineAnswer, ignoredKeys, refusals } from '../../core/contract/rest.ts';
import { ben, exampleRevocation } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { CreateRevocation, Revocation, RevocationListQuery, RevocationParams } from './revocation.ts';

const revocationAnswer = { content: Revocation, meta: ignoredKeys, example: exampleRevocation };

export const revocations = defineFeature('revocations', {
  description: "Tokens that hold no more, for the product's own backend. Only where the server has an `ADMIN_TOKEN`.",
  rest: {
    createRevocation: {
      method: 'POST',
      path: '/admin/revocations',
      auth: 'admin',
      summary: 'Revoke tokens before their end',
      description: `Either the tokens of a user that were issued before a moment, or a single one by its \`jti\`. From the answer on this node
refuses them and has closed the live connections that they opened; every other node follows at once.`,
      body: {
        schema: CreateRevocation,
        examples: {
          'All of a user': { userUUID: ben, issued_before: '2026-11-25T00:00:00Z' },
          'A single one': { jti: 's8Qe41' },
        },
      },
      answers: {
        200: defineAnswer(200, { description: 'The revocation there is: it was made before.', ...revocationAnswer }),
        201: defineAnswer(201, { description: 'The new revocation.', ...revocationAnswer }),
      },
      refusals: refusals.admin,
    },
    listRevocations: {
      method: 'GET',
      path: '/admin/revocations',
      auth: 'admin',
      summary: 'List what is in force',
      description: 'Newest first.',
      query: RevocationListQuery,
      answers: {
        200: defineAnswer(200, {
          description: 'The revocations.',
          content: z.array(Revocation),
          meta: { has_more: z.boolean().describe('Whether there are older ones.') },
          example: [exampleRevocation],
          exampleMeta: { has_more: false },
        }),
      },
      refusals: refusals.admin,
    },
    liftRevocation: {
      method: 'DELETE',
      path: '/admin/revocations/:id',
      auth: 'admin',
      summary: 'Lift a revocation',
      description: 'Others of the same user stay.',
      params: RevocationParams,
      answers: { 200: defineAnswer(200, { description: 'It is lifted.', content: z.null(), example: null }) },
      refusals: refusals.admin,
    },
  },
});
