import { z } from 'zod';
import * as chat from '../core/contract/chat.ts';
import * as socketio from '../core/contract/socketio.ts';
import { tokenErrorCodes } from '../core/errors.ts';
import { defineFeature } from '../core/feature.ts';
import { costs } from '../core/limits/request-costs.ts';

/** How a client of a live connection sends tokens, checks the connection and quits. A request over REST carries its token. */
export const session = defineFeature('session', {
  description: 'The token of a live connection, a request that checks the connection, and a command that ends it.',
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
    'connection:check': {
      payload: z.object({}, socketio.payloadOptions).meta({
        description: 'Answered at once, before requests that wait: shows that the connection is alive.',
        examples: [{}],
      }),
      ack: z.object({}),
      refusals: ['BAD_REQUEST'],
      cost: costs.free,
      isImmediate: true,
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
