import { z } from 'zod';
import { exampleMessage } from '../examples.ts';
import { count, RoomId, Uuid } from '../ids.ts';
import { dateBound } from '../timestamp.ts';

const date = z.iso.datetime();

const seqNumber = z.number().int().nonnegative();

/** How often members reacted to a message with this emoji. */
export const ReactionCount = z
  .object({
    emoji: z.string(),
    count: z.number().int().positive(),
    mine: z
      .literal(true)
      .optional()
      .describe('The caller is one of them. Only in answers that are made for one caller.'),
  })
  .meta({ id: 'ReactionCount', examples: [{ emoji: '👍', count: 2, mine: true }] });
export type ReactionCount = z.infer<typeof ReactionCount>;

/** A reaction that a user added or removed. */
export const ReactionDelta = z
  .object({ user: Uuid, emoji: z.string(), added: z.boolean() })
  .meta({ id: 'ReactionDelta' });
export type ReactionDelta = z.infer<typeof ReactionDelta>;

/** The replies in a thread, without those that were deleted. */
export const Replies = z
  .object({
    count: z.number().int().nonnegative(),
    last_seq: seqNumber.describe('The newest reply; 0 if none is left.'),
  })
  .meta({ id: 'Replies', examples: [{ count: 2, last_seq: 9 }] });
export type Replies = z.infer<typeof Replies>;

/** The root of the thread that a reply belongs to. */
export const Root = z
  .object({ seq: seqNumber, replies: Replies })
  .meta({ id: 'Root', description: 'The root of the thread that the message belongs to.' });
export type Root = z.infer<typeof Root>;

/** JSON of the app, which the service does not interpret. */
export const CustomData = z
  .record(z.string(), z.unknown(), { error: 'must be a JSON object' })
  .meta({ id: 'CustomData', description: 'JSON of the app. The service does not interpret it.' });
export type CustomData = z.infer<typeof CustomData>;

export const Message = z
  .object({
    id: z.number().int(),
    room_id: RoomId,
    seq: z.number().int().describe('Position in the room: 1, 2, 3… without gaps.'),
    emitter: Uuid.describe('The user who wrote it.'),
    content: z.string().describe('Exactly as sent or edited; empty if the message was deleted or has only `custom`.'),
    client_msg_id: z.string().nullable().describe("The sender's id for it; null if they gave none."),
    createdAt: date.describe('Never decreases with `seq`.'),
    updatedAt: date,
    version: z
      .number()
      .int()
      .describe(
        'The `rev` of its last edit or deletion, or of the message itself. Of two copies, the greater version wins.',
      ),
    reply_to: seqNumber.optional().describe('The `seq` of the message that it quotes. That message may be deleted.'),
    thread: seqNumber.optional().describe('The `seq` of the root of its thread.'),
    mentions: z.array(Uuid).optional().describe('Users and organisations that it addresses.'),
    mention_room: z.literal(true).optional().describe('It addresses everybody in the room.'),
    custom: CustomData.optional(),
    silent: z.literal(true).optional().describe('It does not count as unread.'),
    editedAt: date.optional().describe('When its content last changed.'),
    deletedAt: date
      .optional()
      .describe('The message was deleted: it has no content, custom data, mentions or reactions.'),
    deleted_by: Uuid.optional(),
    reactions: z.array(ReactionCount).optional().describe('In the order in which each emoji first appeared.'),
    replies: Replies.optional().describe('Of the root of a thread.'),
  })
  .meta({ id: 'Message', examples: [exampleMessage] });
export type Message = z.infer<typeof Message>;

const maxMentions = 50;
const text = z
  .string({ error: 'must be a string' })
  .refine((content) => !content.includes('\0'), 'must not contain NUL')
  .refine((content) => content.isWellFormed(), 'must be valid Unicode, without lone surrogates');
const textDescription = 'Valid Unicode without NUL, at most 8,192 bytes of UTF-8 (`MAX_CONTENT_BYTES`).';

/**
 * The schema does not limit the size: `assertContentSize` compares it with `MAX_CONTENT_BYTES` and throws `TOO_LARGE`.
 */
export const Content = text.meta({
  id: 'Content',
  description: `${textDescription} It must not be empty, unless the message has \`custom\`.`,
});

export const ClientMsgId = z
  .string({ error: 'must be a string' })
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 of A-Z a-z 0-9 _ -')
  .meta({
    id: 'ClientMsgId',
    description:
      "The sender's id for a message, unique per room and emitter: a message that is sent twice is stored once.",
  });

/** The `seq` of a message. */
export const Seq = count(1, Number.MAX_SAFE_INTEGER);

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
export const requireContent = [
  ({ content, custom }: { content: string; custom?: unknown }) => content !== '' || custom != null,
  { path: ['content'] as string[], message: 'must not be empty' },
] as const;

export const Draft = z
  .object(draftFields, { error: 'the body must be a JSON object' })
  .refine(...requireContent)
  .meta({ id: 'Draft', description: 'A message to send.' });
export type Draft = z.infer<typeof Draft>;

const seq = count(0, Number.MAX_SAFE_INTEGER);

/** Parameters that say where a page of messages begins or ends. A request may have at most one of them. */
export const pageAnchors = {
  before: seq.optional().describe('A `seq`: the newest of the messages before it.'),
  after: seq.optional().describe('A `seq`: the oldest of the messages after it.'),
  around: seq.optional().describe('A `seq`: that message, and as many before as after it.'),
};

export const atMostOneAnchor = [
  (query: { before?: number | undefined; after?: number | undefined; around?: number | undefined }) =>
    [query.before, query.after, query.around].filter((given) => given !== undefined).length <= 1,
  { path: ['before'] as string[], message: 'at most one of before, after and around may be given' },
] as const;

export const pageSize = (fallback: number) =>
  count(1, 500).default(fallback).describe('The maximum number of messages.');

export const HistoryQuery = z
  .object({
    ...pageAnchors,
    limit: pageSize(100),
    dateFrom: dateBound('from').optional(),
    dateTo: dateBound('to').optional(),
  })
  .refine(...atMostOneAnchor);
export type HistoryQuery = z.infer<typeof HistoryQuery>;
