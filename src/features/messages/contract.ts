import { z } from 'zod';
import * as chat from '../../core/contract/chat.ts';
import { defineAnswer, ignoredKeys, refusals } from '../../core/contract/rest.ts';
import * as socketio from '../../core/contract/socketio.ts';
import { Cursor } from '../../core/cursor.ts';
import { exampleMessage, examplePosition } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { count, RoomRef, Uuid } from '../../core/ids.ts';
import { costs } from '../../core/limits/request-costs.ts';
import { CustomData, Message, Seq } from '../../core/log/message.ts';
import { RoomParams } from '../../core/room.ts';
import { dateBound } from '../../core/timestamp.ts';

/** The size is not limited here: `assertContentSize` compares it with `MAX_CONTENT_BYTES` and throws `TOO_LARGE`. */
export const Content = z
  .string({ error: 'must be a string' })
  .refine((content) => !content.includes('\0'), 'must not contain NUL')
  .refine((content) => content.isWellFormed(), 'must be valid Unicode, without lone surrogates')
  .meta({
    id: 'Content',
    description:
      'Valid Unicode without NUL, at most 8,192 bytes of UTF-8 (`MAX_CONTENT_BYTES`). It must not be empty, unless the message has `custom`.',
  });

export const ClientMsgId = z
  .string({ error: 'must be a string' })
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 of A-Z a-z 0-9 _ -')
  .meta({
    id: 'ClientMsgId',
    description:
      "The sender's id for a message, unique per room and emitter: a message that is sent twice is stored once.",
  });

const maxMentions = 50;

/**
 * Custom data as the sender gives it. Its size is compared with `MAX_CUSTOM_BYTES` later. PostgreSQL cannot store NUL,
 * and UTF-8 cannot encode lone surrogates.
 */
export const Custom = CustomData.refine((custom) => isStorable(custom), {
  message: 'must not contain NUL, lone surrogates or the key __proto__',
  abort: true,
}).meta({
  id: 'Custom',
  description: 'JSON of the app, at most 4,096 bytes of UTF-8 (`MAX_CUSTOM_BYTES`). The service does not interpret it.',
});

function isStorable(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed() && !value.includes('\0');
  if (typeof value !== 'object' || value === null) return true;
  if (Array.isArray(value)) return value.every(isStorable);
  return Object.entries(value).every(([key, entry]) => key !== '__proto__' && isStorable(key) && isStorable(entry));
}

export const Mentions = z
  .array(Uuid, { error: 'must be an array of UUIDs' })
  .max(maxMentions, `must have at most ${maxMentions} entries`)
  .transform((mentions) => [...new Set(mentions)])
  .describe(`Users and organisations to address, at most ${maxMentions}. A mention gives no access.`);

/** The fields that a message may have besides its content. */
export const draftExtras = {
  reply_to: Seq.nullish().describe('The `seq` of the message that this message quotes.'),
  thread: Seq.nullish().describe('The `seq` of the root of the thread to reply in. The root must not be a reply.'),
  mentions: Mentions.nullish(),
  mention_room: z.boolean({ error: 'must be true or false' }).nullish().describe('Address everybody in the room.'),
  custom: Custom.nullish(),
  silent: z.boolean({ error: 'must be true or false' }).nullish().describe('Do not count the message as unread.'),
};

export const draftFields = { content: Content, client_msg_id: ClientMsgId.nullish(), ...draftExtras };

/** A refinement: only a message with custom data may have empty content. */
const requireContent = [
  ({ content, custom }: { content: string; custom?: unknown }) => content !== '' || custom != null,
  { path: ['content'] as string[], message: 'must not be empty' },
] as const;

export const Draft = z
  .object(draftFields, { error: 'the body must be a JSON object' })
  .refine(...requireContent)
  .meta({ id: 'Draft', description: 'A message to send.' });
export type Draft = z.infer<typeof Draft>;

const seq = count(0, Number.MAX_SAFE_INTEGER);

/** Parameters that determine where a page of messages begins or ends. A request may have at most one of them. */
const pageAnchors = {
  before: seq.optional().describe('A `seq`: the newest of the messages before it.'),
  after: seq.optional().describe('A `seq`: the oldest of the messages after it.'),
  around: seq.optional().describe('A `seq`: that message, and as many before as after it.'),
};

const atMostOneAnchor = [
  (query: { before?: number | undefined; after?: number | undefined; around?: number | undefined }) =>
    [query.before, query.after, query.around].filter((given) => given !== undefined).length <= 1,
  { path: ['before'] as string[], message: 'at most one of before, after and around may be given' },
] as const;

const pageSize = (fallback: number) => count(1, 500).default(fallback).describe('The maximum number of messages.');

export const HistoryQuery = z
  .object({
    ...pageAnchors,
    limit: pageSize(100),
    dateFrom: dateBound('from').optional(),
    dateTo: dateBound('to').optional(),
  })
  .refine(...atMostOneAnchor);
export type HistoryQuery = z.infer<typeof HistoryQuery>;

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
      description: `For readers. Without a query, the latest 100 messages. At most one of \`before\`, \`after\` and \`around\`; each may be combined with
dates. A page holds at most 256 KiB of messages as JSON, and at least one message.`,
      params: RoomParams,
      query: HistoryQuery,
      answers: {
        200: defineAnswer(200, {
          description:
            'The page. `meta.rev` and `meta.cursor` are the head of the log; later messages are not on the page.',
          content: z.array(Message),
          meta: {
            has_more: z.boolean().describe('Whether more messages exist in the direction of the query.'),
            ...position,
          },
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
            'A duplicate: the message that was stored first under this `client_msg_id`. Also for a caller that may no longer write.',
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
            'Whether this is a duplicate `client_msg_id`; `message` is then the message that was stored first.',
          ),
        rev: socketio.rev,
        cursor: Cursor,
      }),
      refusals: [...socketio.roomRefusals, 'TOO_LARGE', 'ID_REUSED', 'NO_MESSAGE', 'DELETED'],
      cost: costs.message,
    },
    'message:history': {
      payload: z
        .object({ room_id: RoomRef, ...pageAnchors, limit: pageSize(100) }, socketio.payloadOptions)
        .refine(...atMostOneAnchor)
        .meta({
          description: 'One page of history, oldest first, with or without joining the room. Requires `r`.',
          examples: [{ room_id: 1, before: 51, limit: 50 }],
        }),
      ack: z.object({
        messages: z.array(Message),
        rev: socketio.rev,
        cursor: Cursor,
        has_more: z.boolean().describe('Whether more messages exist in the direction of the request.'),
      }),
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
          anyOf: [{ required: ['content'] }, { required: ['msg'] }],
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
        })
        .meta({
          description: 'Legal in a room. One page of history, oldest first; with an `id`, `HISTORY` marks its end.',
          examples: [{ type: 'get_past_messages', limit: 100, before: 51, id: 4 }],
        }),
      answers: ['message', 'HISTORY', 'SELECTROOM?', ...chat.beforeTokenFrames, 'NOTAUTHORIZED', 'ERROR'],
      refusals: chat.roomRefusals,
      cost: costs.page,
    },
  },
});
