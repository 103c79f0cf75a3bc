import { z } from 'zod';
import { defineAnswer, ignoredKeys, refusals } from '../../core/contract/rest.ts';
import { ben, exampleRevocation } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { CreateRevocation, Revocation, RevocationListQuery, RevocationParams } from './revocation.ts';

const revocationAnswer = { content: Revocation, meta: ignoredKeys, example: exampleRevocation };

export const revocations = defineFeature('revocations', {
  description: 'Revoked tokens.',
  rest: {
    createRevocation: {
      method: 'POST',
      path: '/admin/revocations',
      auth: 'admin',
      summary: 'Revoke tokens before they expire',
      description: `Either all tokens of a user that were issued before a date, or a single token by its \`jti\`. Before it answers, this node
rejects them and closes the live connections that they opened; every other node follows at once.`,
      body: {
        schema: CreateRevocation,
        examples: {
          'All tokens of a user': { userUUID: ben, issued_before: '2026-11-25T00:00:00Z' },
          'A single token': { jti: 's8Qe41' },
        },
      },
      answers: {
        200: defineAnswer(200, { description: 'The existing revocation.', ...revocationAnswer }),
        201: defineAnswer(201, { description: 'The new revocation.', ...revocationAnswer }),
      },
      refusals: refusals.admin,
    },
    listRevocations: {
      method: 'GET',
      path: '/admin/revocations',
      auth: 'admin',
      summary: 'List the revocations in force',
      description: 'Newest first.',
      query: RevocationListQuery,
      answers: {
        200: defineAnswer(200, {
          description: 'The revocations.',
          content: z.array(Revocation),
          meta: { has_more: z.boolean().describe('Whether older revocations exist.') },
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
      description: 'Other revocations of the same user remain in force.',
      params: RevocationParams,
      answers: {
        200: defineAnswer(200, { description: 'The revocation has been lifted.', content: z.null(), example: null }),
      },
      refusals: refusals.admin,
    },
  },
});
