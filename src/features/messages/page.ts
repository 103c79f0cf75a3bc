import { z } from 'zod';
import { count, flag } from '../../core/ids.ts';
import { Seq } from '../../core/log/message.ts';
import { dateBound } from '../../core/timestamp.ts';

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

export const filters = {
  thread: Seq.optional().describe('The `seq` of a root: only the replies in its thread, without the root.'),
  top_level: flag.optional().describe('true: without replies in threads.'),
};

export const atMostOneFilter = [
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

export const hasMore = z.boolean().describe('Whether more messages exist in the direction of the request.');

/**
 * The parameters of the request for the next page. Set even if a filter has left the current page empty, as long as
 * there are more messages.
 */
export const Next = z
  .object({
    before: seq.optional(),
    after: seq.optional(),
  })
  .nullable()
  .describe(
    'The parameter of the same request for the next page, in place of `before`, `after` or `around`; after `around`, in each direction that has more. null if `has_more` is false.',
  );

export const missing = z.array(z.number().int()).describe('Each requested `seq` that the room does not have.');

export const Seqs = z
  .array(Seq, { error: 'must be an array of whole numbers' })
  .min(1, 'must have at least one entry')
  .max(maxSeqs, maxSeqsError)
  .describe(`The \`seq\` of the messages, up to ${maxSeqs}.`);
