import { z } from 'zod';
import { ErrorCode, errors, tokenErrorCodes } from '../errors.ts';
import type { RequestCost } from '../limits/request-costs.ts';
import { Ignored } from '../parse.ts';

/** The envelope of every refusal. */
export const Refusal = z
  .object({
    meta: z.object({
      code: z.int().describe('The HTTP status.'),
      message: z.string(),
      reason: ErrorCode,
      detail: z.string().optional().describe('`field: why`, or why, if there is more to say.'),
      retry_after_ms: z.int().optional().describe('If the time is known; `Retry-After` has it in seconds.'),
    }),
    content: z.null(),
  })
  .refine(({ meta }) => meta.code === errors[meta.reason].http && meta.message === errors[meta.reason].message)
  .meta({ id: 'Refusal' });

/** The answer to a request that succeeds, under one status. */
export interface Answer {
  description: string;
  /** The media type if it is not the JSON envelope. */
  type?: string;
  schema: z.ZodType;
  example?: unknown;
}

interface Body {
  schema: z.ZodType;
  /** The keys are their titles in the documents. */
  examples: Record<string, unknown>;
}

interface AnyRoute {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** In Express' syntax: `:name` is a parameter. */
  path: string;
  summary: string;
  description?: string;
  params?: z.ZodObject;
  query?: z.ZodObject | z.ZodPipe;
  headers?: z.ZodObject;
  /** The field of the body that the header `Idempotency-Key` sets if the body does not. */
  idempotencyField?: string;
  body?: Body;
  answers: { readonly [status: number]: Answer };
  /** The codes of its refusals, which come in the envelope. */
  refusals: readonly ErrorCode[];
}

/** `metrics`: the `METRICS_TOKEN`, if the server has one. */
export type Route = AnyRoute & ({ auth: 'user'; cost: RequestCost } | { auth: 'admin' | 'metrics' | 'none' });

interface Content<C extends z.ZodType, M extends z.ZodRawShape> {
  description: string;
  content: C;
  meta?: M;
  example: z.input<C>;
  exampleMeta?: z.input<z.ZodObject<M>>;
}

/** The transport sets it in the `meta` of an answer to a request with a body. */
export const ignoredKeys = { ignored: Ignored.optional() };

/** A successful answer in the envelope. */
export function defineAnswer<S extends number, C extends z.ZodType, M extends z.ZodRawShape = Record<never, never>>(
  code: S,
  { description, content, meta, example, exampleMeta }: Content<C, M>,
) {
  const schema = z.object({
    meta: z.object({ code: z.literal(code), message: z.literal('OK'), ...(meta as M) }),
    content,
  });
  return { description, schema, example: { meta: { code, message: 'OK', ...exampleMeta }, content: example } };
}

/** A successful answer without the envelope. */
export const defineTextAnswer = (description: string, example: string) => ({
  description,
  type: 'text/plain',
  schema: z.string(),
  example,
});

const commonRefusals = ['BAD_REQUEST', 'TOO_LARGE', 'INTERNAL', 'UNAVAILABLE'] as const;

/** The refusals of every route with a user's token, of those that name a room, and of those with the admin token. */
export const refusals = {
  user: [...commonRefusals, ...tokenErrorCodes, 'RATE_LIMITED'],
  room: [...commonRefusals, ...tokenErrorCodes, 'RATE_LIMITED', 'NOT_FOUND', 'FORBIDDEN', 'BANNED'],
  admin: [...commonRefusals, 'UNAUTHENTICATED', 'NOT_FOUND'],
} as const satisfies Record<string, readonly ErrorCode[]>;
