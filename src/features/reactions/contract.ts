import { z } from 'zod';
import * as chat from '../../core/contract/chat.ts';
import { defineAnswer, refusals } from '../../core/contract/rest.ts';
import * as socketio from '../../core/contract/socketio.ts';
import { Cursor } from '../../core/cursor.ts';
import { ben, examplePosition } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { count, RoomRef, Uuid } from '../../core/ids.ts';
import { costs } from '../../core/limits/request-costs.ts';
import { ReactionCount, Seq } from '../../core/log/message.ts';

const maxEmojiBytes = 64;

/**
 * Rejects `.` and `..`. URL parsers resolve these path segments, even if they are percent-encoded, so `DELETE
 * …/reactions/..` would delete the message.
 */
export const Emoji = z
  .string({ error: 'must be a string' })
  .refine((emoji) => emoji.isWellFormed(), 'must be valid Unicode, without lone surrogates')
  .refine(
    (emoji) => emoji !== '' && new TextEncoder().encode(emoji).length <= maxEmojiBytes,
    `must be 1 to ${maxEmojiBytes} bytes of UTF-8`,
  )
  .refine(
    (emoji) => !/[\s\p{Cc}/\\]/u.test(emoji) && emoji !== '.' && emoji !== '..',
    'must not contain white space, control characters, / or \\, and must not be . or ..',
  )
  .refine((emoji) => !/^[\uFE0E\uFE0F]+$/.test(emoji), 'must not consist of variation selectors only')
  .meta({
    id: 'Emoji',
    description:
      '1 to 64 bytes of UTF-8 without white space, control characters, `/` and `\\`; not `.` or `..`. Two spellings that differ only in a variation selector (U+FE0E, U+FE0F) are the same emoji.',
  });

const Reactions = z
  .array(ReactionCount)
  .describe('All reactions of the message, in the order in which each emoji first appeared.');
const changed = z.boolean().describe('false: the reaction was already so, for example because this is a retry.');
const position = { rev: socketio.rev, cursor: Cursor };
const exampleReactions = [{ emoji: '👍', count: 2, mine: true as const }];

const ReactionParams = z.object({ id: RoomRef, seq: Seq.describe('The `seq` of the message.'), emoji: Emoji });

const answer = (description: string) => ({
  200: defineAnswer(200, {
    description,
    content: Reactions,
    meta: { changed, ...position },
    example: exampleReactions,
    exampleMeta: { changed: true, ...examplePosition },
  }),
});

const problems = ['NO_MESSAGE', 'DELETED'] as const;
const payload = (description: string) =>
  z
    .object({ room_id: RoomRef, seq: Seq, emoji: Emoji }, socketio.payloadOptions)
    .meta({ description, examples: [{ room_id: 1, seq: 1, emoji: '👍' }] });

const ack = z.object({ reactions: Reactions, changed, ...position });

export const reactions = defineFeature('reactions', {
  description: 'Reactions to messages.',
  rest: {
    addReaction: {
      method: 'PUT',
      path: '/rooms/:id/messages/:seq/reactions/:emoji',
      auth: 'user',
      cost: costs.message,
      summary: 'React to a message',
      description: `Requires \`w\`, or \`r\` in a room with \`readers_react\`. The emoji is percent-encoded. A message has at most 20 different
emojis. Reactions of a room are stored up to 100 ms later, together.`,
      params: ReactionParams,
      answers: answer('The reactions of the message with the reaction of the caller.'),
      refusals: [...refusals.room, ...problems, 'TOO_MANY_REACTIONS'],
    },
    removeReaction: {
      method: 'DELETE',
      path: '/rooms/:id/messages/:seq/reactions/:emoji',
      auth: 'user',
      cost: costs.message,
      summary: 'Remove a reaction of the caller',
      params: ReactionParams,
      answers: answer('The reactions of the message without the reaction of the caller.'),
      refusals: [...refusals.room, ...problems],
    },
    listReactions: {
      method: 'GET',
      path: '/rooms/:id/messages/:seq/reactions',
      auth: 'user',
      cost: costs.page,
      summary: 'List who reacted to a message',
      description: 'For readers. By emoji, then by user. `meta.next` is `after` for the next page.',
      params: z.object({ id: RoomRef, seq: Seq.describe('The `seq` of the message.') }),
      query: z.object({
        limit: count(1, 500).default(100).describe('The maximum number of reactions.'),
        after: z.string().max(256).optional().describe('`meta.next` of the previous page.'),
      }),
      answers: {
        200: defineAnswer(200, {
          description: 'The reactions.',
          content: z.array(z.object({ emoji: z.string(), user: Uuid })),
          meta: { next: z.string().nullable().describe('null if the page is the last one.') },
          example: [{ emoji: '👍', user: ben }],
          exampleMeta: { next: null },
        }),
      },
      refusals: [...refusals.room, 'NO_MESSAGE'],
    },
  },
  requests: {
    'reaction:add': {
      payload: payload('React to a message. Requires `w`, or `r` in a room with `readers_react`.'),
      ack,
      refusals: [...socketio.roomRefusals, ...problems, 'TOO_MANY_REACTIONS'],
      cost: costs.message,
    },
    'reaction:remove': {
      payload: payload('Remove a reaction of the caller.'),
      ack,
      refusals: [...socketio.roomRefusals, ...problems],
      cost: costs.message,
    },
  },
  commands: {
    react: {
      needs: 'room',
      frame: z
        .object({
          type: z.literal('react'),
          seq: Seq,
          emoji: Emoji,
          remove: z.boolean({ error: 'must be true or false' }).optional().describe('Remove the reaction instead.'),
        })
        .meta({
          description: 'Legal in a room. Adds a reaction to a message, or removes it.',
          examples: [{ type: 'react', seq: 1, emoji: '👍', id: 10 }],
        }),
      answers: ['OK', 'SELECTROOM?', ...chat.beforeTokenFrames, 'NOTAUTHORIZED', 'ERROR'],
      refusals: [...chat.roomRefusals, ...problems, 'TOO_MANY_REACTIONS'],
      cost: costs.message,
    },
  },
});
