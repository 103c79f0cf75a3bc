import { z } from 'zod';
import { exampleMessage } from '../examples.ts';
import { count, RoomId, Uuid } from '../ids.ts';
import { dateBound } from '../timestamp.ts';

const date = z.iso.datetime();

export const Message = z
  .object({
    id: z.number().int(),
    room_id: RoomId,
    seq: z.number().int().describe('Position in the room: 1, 2, 3… without gaps.'),
    emitter: Uuid.describe('The user who wrote it.'),
    content: z.string().describe('Exactly as sent.'),
    client_msg_id: z.string().nullable().describe("The sender's id for it; null if they gave none."),
    createdAt: date.describe('Never decreases with `seq`.'),
    updatedAt: date,
  })
  .meta({ id: 'Message', examples: [exampleMessage] });
export type Message = z.infer<typeof Message>;

/** The size is not limited here: `sendMessage` compares it with `MAX_CONTENT_BYTES` and throws `TOO_LARGE`. */
export const Content = z
  .string({ error: 'must be a string' })
  .min(1, 'must not be empty')
  .refine((content) => !content.includes('\0'), 'must not contain NUL')
  .refine((content) => content.isWellFormed(), 'must be valid Unicode, without lone surrogates')
  .meta({
    id: 'Content',
    description: 'Valid Unicode without NUL, at most 8,192 bytes of UTF-8 (`MAX_CONTENT_BYTES`).',
  });

export const ClientMsgId = z
  .string({ error: 'must be a string' })
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 of A-Z a-z 0-9 _ -')
  .meta({
    id: 'ClientMsgId',
    description:
      "The sender's id for a message, unique per room and emitter: a message that is sent twice is stored once.",
  });

export const Draft = z
  .object({ content: Content, client_msg_id: ClientMsgId.nullish() }, { error: 'the body must be a JSON object' })
  .meta({ id: 'Draft', description: 'A message to send.' });
export type Draft = z.infer<typeof Draft>;

const seq = count(0, Number.MAX_SAFE_INTEGER);

/** Parameters that determine where a page of messages begins or ends. A request may have at most one of them. */
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
