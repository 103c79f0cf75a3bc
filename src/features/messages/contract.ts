import { z } from 'zod';
import * as chat from '../../core/contract/chat.ts';
import { defineAnswer, ignoredKeys, refusals } from '../../core/contract/rest.ts';
import * as socketio from '../../core/contract/socketio.ts';
import { Cursor } from '../../core/cursor.ts';
import { exampleMessage, examplePosition } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { count, RoomRef } from '../../core/ids.ts';
import { costs } from '../../core/limits/request-costs.ts';
import { Message } from '../../core/log/message.ts';
import { RoomParams } from '../../core/room.ts';
import { ClientMsgId, Content, Draft, draftExtras, draftFields, requireContent } from './draft.ts';
import {
  atMostOneAnchor,
  atMostOneFilter,
  filters,
  HistoryQuery,
  hasMore,
  missing,
  Next,
  pageAnchors,
  pageSize,
  Seqs,
} from './page.ts';

const position = { rev: z.int().describe("Position in the room's log."), cursor: Cursor };

const SingleMessages = z.object({
  messages: z.array(Message).describe('Ordered by `seq`; at most 256 KiB as JSON.'),
  missing,
  has_more: z.boolean().describe('Whether some of the messages did not fit.'),
  next: z
    .object({ seqs: z.array(z.number().int()) })
    .nullable()
    .describe('The messages that did not fit, for another request; null if `has_more` is false.'),
  rev: socketio.rev,
  cursor: Cursor,
});

export const messages = defineFeature('messages', {
  description: 'History, and sending without a live connection.',
  rest: {
    readMessages: {
      method: 'GET',
      path: '/rooms/:id/messages',
      auth: 'user',
      cost: costs.page,
      summary: 'Read one page of history, oldest first',
      description: `For readers. Without a query, the latest 100 messages. At most one of \`before\`, \`after\` and \`around\`; each may be combined with
dates, \`thread\` or \`top_level\`. A page holds at most 256 KiB of messages as JSON, and at least one message. It is of one moment: it
contains every change up to \`meta.rev\`, and none after it. Deleted messages are left out unless \`tombstones\` is true. If messages are left
out, a page looks at 2,000 messages at most, so it may be short or empty although \`meta.has_more\` is true: \`meta.next\` says how to go on.`,
      params: RoomParams,
      query: HistoryQuery,
      answers: {
        200: defineAnswer(200, {
          description:
            'The page. `meta.rev` and `meta.cursor` are the head of the log; later changes are not on the page.',
          content: z.array(Message),
          meta: {
            has_more: hasMore,
            next: Next.unwrap()
              .extend({ seqs: z.string().optional().describe('With `seqs`: the messages that did not fit.') })
              .nullable()
              .describe(Next.description!),
            missing: missing.optional().describe('With `seqs`: each of them that the room does not have.'),
            ...position,
          },
          example: [exampleMessage],
          exampleMeta: { has_more: false, next: null, ...examplePosition },
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
      description: `Requires \`w\`. The answer means that the message is stored. With a unique \`client_msg_id\`, in the body or as \`Idempotency-Key\`, a
client may retry until it gets an answer, and the message is stored once. The \`Idempotency-Key\` may be in double quotes.`,
      params: RoomParams,
      headers: z.object({ 'Idempotency-Key': ClientMsgId.optional() }),
      headerFields: { 'Idempotency-Key': 'client_msg_id' },
      body: {
        schema: Draft,
        examples: {
          'With an id': { content: exampleMessage.content, client_msg_id: exampleMessage.client_msg_id },
          'Without an id': { content: exampleMessage.content },
          'A card of the app': { content: '', custom: { type: 'poll', options: ['Monday', 'Friday'] }, silent: true },
        },
      },
      answers: {
        200: defineAnswer(200, {
          description:
            'A duplicate: the message that was stored first under this `client_msg_id`, as it is now, without `reactions` and `replies`. `meta.rev` is its `version`. Also for a caller that may no longer write.',
          content: Message,
          meta: { duplicate: z.literal(true), ...position, ...ignoredKeys },
          example: exampleMessage,
          exampleMeta: { duplicate: true, ...examplePosition },
        }),
        201: defineAnswer(201, {
          description: 'The message. `meta.rev` and `meta.cursor` are its position.',
          content: Message,
          meta: { ...position, ...ignoredKeys },
          example: exampleMessage,
          exampleMeta: examplePosition,
        }),
      },
      refusals: [...refusals.room, 'ID_REUSED', 'NO_MESSAGE', 'DELETED'],
    },
  },
  requests: {
    'message:send': {
      payload: z
        .object({ ...draftFields, room_id: RoomRef }, socketio.payloadOptions)
        .refine(...requireContent)
        .meta({
          description:
            'Send a message, with or without joining the room. Requires `w`. The acknowledgement means that the message is stored.',
          examples: [{ room_id: 1, content: exampleMessage.content, client_msg_id: exampleMessage.client_msg_id }],
        }),
      ack: z.object({
        message: Message,
        duplicate: z
          .boolean()
          .describe(
            'Whether this is a duplicate `client_msg_id`; `message` is then the message that was stored first, as it is now, without `reactions` and `replies`, and `rev` is its `version`.',
          ),
        rev: socketio.rev,
        cursor: Cursor,
      }),
      refusals: [...socketio.roomRefusals, 'TOO_LARGE', 'ID_REUSED', 'NO_MESSAGE', 'DELETED'],
      cost: costs.message,
    },
    'message:history': {
      payload: z
        .object({ room_id: RoomRef, ...pageAnchors, limit: pageSize(100), ...filters }, socketio.payloadOptions)
        .refine(...atMostOneAnchor)
        .refine(...atMostOneFilter)
        .meta({
          description:
            'One page of history, oldest first, with or without joining the room. Requires `r`. Deleted messages are included. With a filter, a page looks at 2,000 messages at most, so it may be short or empty although `has_more` is true.',
          examples: [{ room_id: 1, before: 51, limit: 50 }],
        }),
      ack: z.object({ messages: z.array(Message), rev: socketio.rev, cursor: Cursor, has_more: hasMore, next: Next }),
      refusals: socketio.roomRefusals,
      cost: costs.page,
    },
    'message:read': {
      payload: z.object({ room_id: RoomRef, seqs: Seqs }, socketio.payloadOptions).meta({
        description: 'Single messages, deleted ones included, with or without joining the room. Requires `r`.',
        examples: [{ room_id: 1, seqs: [1, 4] }],
      }),
      ack: SingleMessages,
      refusals: socketio.roomRefusals,
      cost: costs.page,
    },
  },
  commands: {
    message: {
      needs: 'room',
      frame: z
        .preprocess(
          // If `content` is present, `msg` is ignored without validation.
          (frame: Record<string, unknown>) => (frame.content == null ? frame : { ...frame, msg: undefined }),
          z
            .object({
              type: z.literal('message'),
              content: Content.nullish(),
              msg: Content.nullish().describe('Used if `content` is absent.'),
              client_msg_id: ClientMsgId.nullish(),
              ...draftExtras,
            })
            .transform(({ msg, ...command }, context) => {
              const content = command.content ?? msg ?? (command.custom == null ? undefined : '');
              if (content === '' && command.custom == null) {
                context.addIssue({
                  code: 'custom',
                  path: [command.content == null ? 'msg' : 'content'],
                  message: 'must not be empty',
                });
                return z.NEVER;
              }
              if (content != null) return { ...command, content };
              context.addIssue({ code: 'custom', path: ['content'], message: 'must be a string' });
              return z.NEVER;
            }),
        )
        .meta({
          description:
            'Legal in a room. Requires `w`. The answer is the echo, which every subscriber of the room receives.',
          examples: [{ type: 'message', content: 'Go!', client_msg_id: 'm1', id: 3 }],
          anyOf: [{ required: ['content'] }, { required: ['msg'] }, { required: ['custom'] }],
        }),
      answers: ['message', 'SELECTROOM?', ...chat.beforeTokenFrames, 'NOTAUTHORIZED', 'ERROR'],
      refusals: [...chat.roomRefusals, 'TOO_LARGE', 'ID_REUSED', 'NO_MESSAGE', 'DELETED'],
      cost: costs.message,
      isPipelined: true,
    },
    get_past_messages: {
      needs: 'room',
      frame: z
        .object({
          type: z.literal('get_past_messages'),
          limit: pageSize(100),
          before: count(0, Number.MAX_SAFE_INTEGER).optional().describe('A `seq`; without it the page is the latest.'),
          ...filters,
        })
        .refine(...atMostOneFilter)
        .meta({
          description:
            'Legal in a room. One page of history, oldest first, without deleted messages; with an `id`, `HISTORY` marks its end.',
          examples: [{ type: 'get_past_messages', limit: 100, before: 51, id: 4 }],
        }),
      answers: ['message', 'HISTORY', 'SELECTROOM?', ...chat.beforeTokenFrames, 'NOTAUTHORIZED', 'ERROR'],
      refusals: chat.roomRefusals,
      cost: costs.page,
    },
    read_messages: {
      needs: 'room',
      frame: z.object({ type: z.literal('read_messages'), seqs: Seqs }).meta({
        description: 'Legal in a room. Single messages, deleted ones included.',
        examples: [{ type: 'read_messages', seqs: [1, 4], id: 13 }],
      }),
      answers: ['OK', 'SELECTROOM?', ...chat.beforeTokenFrames, 'NOTAUTHORIZED', 'ERROR'],
      refusals: chat.roomRefusals,
      cost: costs.page,
    },
  },
});
