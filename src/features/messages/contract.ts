import { z } from 'zod';
import { defineAnswer, ignoredKeys, refusals } from '../../core/contract/rest.ts';
import { Cursor } from '../../core/cursor.ts';
import { exampleMessage, examplePosition } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { costs } from '../../core/limits/request-costs.ts';
import { ClientMsgId, Draft, HistoryQuery, Message } from '../../core/log/message.ts';
import { RoomParams } from '../../core/room.ts';

const position = { rev: z.int().describe("Position in the room's log."), cursor: Cursor };

export const messages = defineFeature('messages', {
  description: 'History, and sending without a live connection.',
  rest: {
    readMessages: {
      method: 'GET',
      path: '/rooms/:id/messages',
      auth: 'user',
      cost: costs.page,
      summary: 'Read one page of history, oldest first',
      description: `For readers. Without a query the latest 100. At most one of \`before\`, \`after\` and \`around\`; each may be combined with
dates. A page holds at most 256 KiB of messages as JSON, and at least one message.`,
      params: RoomParams,
      query: HistoryQuery,
      answers: {
        200: defineAnswer(200, {
          description: 'The page. `meta.rev` and `meta.cursor` say where the log stood: what comes later is not on it.',
          content: z.array(Message),
          meta: { has_more: z.boolean().describe('Whether there is more in the direction of the query.'), ...position },
          example: [exampleMessage],
          exampleMeta: { has_more: false, ...examplePosition },
        }),
      },
      refusals: refusals.room,
    },
    sendMessage: {
      method: 'POST',
      path: '/rooms/:id/messages',
      auth: 'user',
      cost: costs.message,
      summary: 'Send a message',
      description: `Needs \`w\`. What is answered is stored. With a \`client_msg_id\` of its own, in the body or as \`Idempotency-Key\`, the message
may be sent again until it is answered, and is stored once. The \`Idempotency-Key\` may be in double quotes.`,
      params: RoomParams,
      headers: z.object({ 'Idempotency-Key': ClientMsgId.optional() }),
      idempotencyField: 'client_msg_id',
      body: {
        schema: Draft,
        examples: {
          'With an id of its own': { content: exampleMessage.content, client_msg_id: exampleMessage.client_msg_id },
          'Without one': { content: exampleMessage.content },
        },
      },
      answers: {
        200: defineAnswer(200, {
          description:
            'The first message of that `client_msg_id`, which was sent again; also to one who may no longer write.',
          content: Message,
          meta: { duplicate: z.literal(true), ...position, ...ignoredKeys },
          example: exampleMessage,
          exampleMeta: { duplicate: true, ...examplePosition },
        }),
        201: defineAnswer(201, {
          description: 'The message. `meta.rev` and `meta.cursor` are its own.',
          content: Message,
          meta: { ...position, ...ignoredKeys },
          example: exampleMessage,
          exampleMeta: examplePosition,
        }),
      },
      refusals: [...refusals.room, 'ID_REUSED'],
    },
  },
});
