import { z } from 'zod';
import { count, RoomId, Uuid } from './identifiers.ts';
import { moment } from './moment.ts';

export const Message = z.object({
  id: z.number().int(),
  room_id: RoomId,
  seq: z.number().int().describe('Position in the room: 1, 2, 3… without gaps.'),
  emitter: Uuid,
  content: z.string(),
  client_msg_id: z.string().nullable(),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
});
export type Message = z.infer<typeof Message>;

/** Its size is judged against `MAX_CONTENT_BYTES` by the use case, which answers `TOO_LARGE`. */
export const Content = z
  .string({ error: 'must be a string' })
  .min(1, 'must not be empty')
  .refine((content) => !content.includes('\0'), 'must not contain NUL')
  .refine((content) => content.isWellFormed(), 'must be valid Unicode: a surrogate stands alone');

export const ClientMsgId = z
  .string({ error: 'must be a string' })
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 of A-Z a-z 0-9 _ -');

export const Draft = z.object(
  { content: Content, client_msg_id: ClientMsgId.nullish() },
  { error: 'the body must be a JSON object' },
);
export type Draft = z.infer<typeof Draft>;

const seq = count(0, Number.MAX_SAFE_INTEGER);

/** At most one of the three; they are `seq`. */
export const position = { before: seq.optional(), after: seq.optional(), around: seq.optional() };

export const onePosition = [
  (query: { before?: number | undefined; after?: number | undefined; around?: number | undefined }) =>
    [query.before, query.after, query.around].filter((given) => given !== undefined).length <= 1,
  { path: ['before'] as string[], message: 'at most one of before, after and around may be given' },
] as const;

export const pageSize = (fallback: number) => count(1, 500).default(fallback);

export const HistoryQuery = z
  .object({
    ...position,
    limit: pageSize(100),
    dateFrom: moment('from').optional(),
    dateTo: moment('to').optional(),
  })
  .refine(...onePosition);
export type HistoryQuery = z.infer<typeof HistoryQuery>;
