import { z } from 'zod';
import { ErrorCode, errors, tokenErrorCodes } from '../../core/errors.ts';
import { Ignored } from '../../core/unknown-keys.ts';

/** The envelope of every refusal. */
export const Refusal = z
  .object({
    meta: z.object({
      code: z.int().describe('The HTTP status.'),
      message: z.string(),
      reason: ErrorCode,
      detail: z.string().optional().describe('`field: why`, or why, where there is more to say.'),
      retry_after_ms: z.int().optional().describe('Where the time is known; `Retry-After` says it in seconds.'),
    }),
    content: z.null(),
  })
  .refine(({ meta }) => meta.code === errors[meta.reason].http && meta.message === errors[meta.reason].message)
  .meta({ id: 'Refusal' });

/** A request that is obeyed, under one status. */
export interface Answer {
  description: string;
  /** `application/json` where it does not say otherwise. */
  type?: string;
  schema: z.ZodType;
  example?: unknown;
}

interface Body {
  schema: z.ZodType;
  /** By a word on what each shows. */
  examples: Record<string, unknown>;
}

export const tags = {
  rooms: 'Where messages go.',
  members: 'The permission rules of a room: whom it grants or denies what.',
  messages: 'History, and sending without a live connection.',
  revocations: "Tokens that hold no more, for the product's own backend. Only where the server has an `ADMIN_TOKEN`.",
  operations: 'For the balancer and the monitoring: no user token, no envelope.',
  documents: 'What there is to read about the service: public, no token, no envelope.',
} as const;

export interface Route {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** As Express has it; `:name` is a parameter. */
  path: string;
  tag: keyof typeof tags;
  summary: string;
  description?: string;
  /** Whose token it takes. `metrics`: where one is configured. */
  token: 'user' | 'admin' | 'metrics' | 'none';
  params?: z.ZodObject;
  query?: z.ZodObject | z.ZodPipe;
  headers?: z.ZodObject;
  body?: Body;
  answers: { [status: number]: Answer };
  /** The codes that it refuses with, by the envelope. */
  refusals: readonly ErrorCode[];
}

interface Content<C extends z.ZodType, M extends z.ZodRawShape> {
  description: string;
  content: C;
  meta?: M;
  example: z.input<C>;
  exampleMeta?: z.input<z.ZodObject<M>>;
}

/** In `meta` of the answer to a request with a body. */
export const ignoredKeys = { ignored: Ignored.optional() };

/** A yes, in the envelope. */
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

const commonRefusals = ['BAD_REQUEST', 'TOO_LARGE', 'INTERNAL', 'UNAVAILABLE'] as const;

/** What any route below `/rooms` refuses with, one with a room, and one below `/admin`. */
export const refusals = {
  user: [...commonRefusals, ...tokenErrorCodes, 'RATE_LIMITED'],
  room: [...commonRefusals, ...tokenErrorCodes, 'RATE_LIMITED', 'NOT_FOUND', 'FORBIDDEN', 'BANNED'],
  admin: [...commonRefusals, 'UNAUTHENTICATED', 'NOT_FOUND'],
} as const satisfies Record<string, readonly ErrorCode[]>;
