import { z } from 'zod';
import * as chat from '../../core/contract/chat.ts';
import { defineAnswer, ignoredKeys, refusals } from '../../core/contract/rest.ts';
import * as socketio from '../../core/contract/socketio.ts';
import { Cursor } from '../../core/cursor.ts';
import { exampleMessage, examplePosition } from '../../core/examples.ts';
import { defineFeature } from '../../core/feature.ts';
import { count, flag, RoomRef, Uuid } from '../../core/ids.ts';
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

/** Fewer than common JSON parsers accept, because the frames around the custom data add some levels. */
const maxCustomDepth = 50;

/**
 * Custom data as the sender gives it. Its size is compared with `MAX_CUSTOM_BYTES` later. PostgreSQL cannot store NUL,
 * and UTF-8 cannot encode lone surrogates. The check comes first, because parsing a record leaves `__proto__` out.
 */
export const Custom = z
  .preprocess((custom, ctx) => {
    if (typeof custom !== 'object') return custom;
    if (isDeeper(custom, maxCustomDepth)) ctx.addIssue(`must not have more than ${maxCustomDepth} levels`);
    else if (!isStorable(custom)) ctx.addIssue('must not contain NUL, lone surrogates or the key __proto__');
    return custom;
  }, CustomData)
  .meta({
    id: 'Custom',
    description:
      'JSON of the app, at most 4,096 bytes of UTF-8 (`MAX_CUSTOM_BYTES`) and 50 levels. The service does not interpret it.',
  });

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((entry) => isDeeper(entry, levels - 1));
}

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

/** The arguments of `refine`: only a message with custom data may have empty content. */
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

const filters = {
  thread: Seq.optional().describe('The `seq` of a root: only the replies in its thread, without the root.'),
  top_level: flag.optional().describe('true: without replies in threads.'),
};

const atMostOneFilter = [
  ({ thread, top_level }: { thread?: number | undefined; top_level?: boolean | undefined }) =>
    thread === undefined || top_level !== true,
  { path: ['top_level'] as string[], message: 'must not be true together with thread' },
] as const;

const maxSeqs = 100;
const maxSeqsError = `must have at most ${maxSeqs} entries`;
const SeqList = z
  .string()
  .regex(/^[0-9]{1,16}(,[0-9]{1,16})*$/, 'must be whole numbers with commas between them')
  .transform((list): (string | number)[] => list.split(','))
  .pipe(z.array(Seq).max(maxSeqs, maxSeqsError))
  .meta({ pattern: '^[0-9]{1,16}(,[0-9]{1,16})*$' });

export const HistoryQuery = z
  .object({
    ...pageAnchors,
    limit: pageSize(100),
    dateFrom: dateBound('from').optional(),
    dateTo: dateBound('to').optional(),
    ...filters,
    tombstones: flag.optional().describe('true: with deleted messages, as tombstones without content.'),
    seqs: SeqList.optional().describe(
      `These messages, up to ${maxSeqs}, deleted ones included: \`seq\` numbers with commas between them. Goes with no other parameter.`,
    ),
  })
  .refine(...atMostOneAnchor)
  .refine(...atMostOneFilter)
  .refine(
    ({ seqs, limit: _, ...others }) =>
      seqs === undefined || Object.values(others).every((value) => value === undefined),
    { path: ['seqs'], message: 'must be the only parameter' },
  );

const position = { rev: z.int().describe("Position in the room's log."), cursor: Cursor };

const hasMore = z.boolean().describe('Whether more messages exist in the direction of the request.');

/**
 * The parameters of the request for the next page. Set even if a filter has left the current page empty, as long as
 * there are more messages.
 */
const Next = z
  .object({
    before: seq.optional(),
    after: seq.optional(),
  })
  .nullable()
  .describe(
    'The parameter of the same request for the next page, in place of `before`, `after` or `around`; after `around`, in each direction that has more. null if `has_more` is false.',
  );

const missing = z.array(z.number().int()).describe('Each requested `seq` that the room does not have.');

const Seqs = z
  .array(Seq, { error: 'must be an array of whole numbers' })
  .min(1, 'must have at least one entry')
  .max(maxSeqs, maxSeqsError)
  .describe(`The \`seq\` of the messages, up to ${maxSeqs}.`);

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
