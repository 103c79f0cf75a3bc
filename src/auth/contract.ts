import { z } from 'zod';
import * as chat from '../core/contract/chat.ts';
import * as socketio from '../core/contract/socketio.ts';
import { tokenErrorCodes } from '../core/errors.ts';
import { defineFeature } from '../core/feature.ts';
import { costs } from '../core/limits/request-costs.ts';

/** How a client of a live connection sends tokens and quits. REST needs neither: each request carries a token. */
export const session = defineFeature('session', {
  description: 'The token of a live connection, and the command that ends the connection.',
  requests: {
    'token:refresh': {
      payload: z.object({ token: z.string({ error: 'must be a JWT' }) }, socketio.payloadOptions).meta({
        description: 'A fresh token of the same user. The server authorizes every joined room again with it.',
        examples: [{ token: 'eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyVVVJRCI6IuKApiJ9.c2lnbmF0dXJl' }],
      }),
      ack: z.object({
        expires_at: z.number().nullable().describe('Seconds since 1970, as in `exp`; null if the token never expires.'),
      }),
      refusals: [...socketio.commonRefusals, ...tokenErrorCodes],
      cost: costs.token,
    },
  },
  commands: {
    token: {
      needs: 'nothing',
      frame: z
        .object({ type: z.literal('token'), content: z.string({ error: 'must be a JWT' }).describe('A JWT.') })
        .meta({
          description: 'Allowed in every state: the first token, or a fresh token of the same user.',
          examples: [{ type: 'token', content: 'eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyVVVJRCI6IuKApiJ9.c2lnbmF0dXJl', id: 1 }],
        }),
      answers: ['READY', ...chat.beforeTokenFrames, 'ERROR'],
      refusals: [...chat.commonRefusals, 'RATE_LIMITED', 'TOO_MANY_CONNECTIONS'],
      cost: costs.token,
    },
    quit: {
      needs: 'token',
      frame: z.object({ type: z.literal('quit') }).meta({
        description:
          'Allowed after `READY`. Closes the connection with 1000 after the commands before it have been answered.',
        examples: [{ type: 'quit' }],
      }),
      answers: [...chat.beforeTokenFrames],
      refusals: [],
      cost: costs.free,
    },
  },
});
