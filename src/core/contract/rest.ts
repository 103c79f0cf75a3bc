import { z } from 'zod';
import { ErrorCode, errors, tokenErrorCodes } from '../errors.ts';
import type { RequestCost } from '../limits/request-costs.ts';
import { Message } from '../log/message.ts';
import { Ignored } from '../parse.ts';

/** The body of every error response. */
export const Refusal = z
  .object({
    meta: z.object({
      code: z.int().describe('The HTTP status.'),
      message: z.string(),
      reason: ErrorCode,
      detail: z.string().optional().describe('`field: why`, or why, if there is more to say.'),
      retry_after_ms: z.int().optional().describe('If the time is known; `Retry-After` has it in seconds.'),
    }),
    content: Message.nullable().describe('With `CONFLICT` the message as it is now, otherwise null.'),
  })
  .refine(({ meta }) => meta.code === errors[meta.reason].http && meta.message === errors[meta.reason].message)
  .meta({ id: 'Refusal' });

/** A response of a route, for one HTTP status. */
export interface Answer {
  description: string;
  /** The media type; JSON if it is undefined. */
  type?: string;
  schema: z.ZodType;
  example?: unknown;
}

interface Body {
  schema: z.ZodType;
  /** Keyed by the titles that the examples have in the OpenAPI document. */
  examples: Record<string, unknown>;
}

interface AnyRoute {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Express syntax: `:name` is a parameter. */
  path: string;
  summary: string;
  description?: string;
  params?: z.ZodObject;
  query?: z.ZodObject | z.ZodPipe;
  headers?: z.ZodObject;
  /** Fields of the body that a header sets if the body does not, keyed by the name of the header. */
  headerFields?: Readonly<Record<string, string>>;
  body?: Body;
  answers: { readonly [status: number]: Answer };
  /** The error codes that the route may answer with. */
  refusals: readonly ErrorCode[];
}

/** `auth: 'metrics'` requires the `METRICS_TOKEN`, if the server has one. */
export type Route = AnyRoute & ({ auth: 'user'; cost: RequestCost } | { auth: 'admin' | 'metrics' | 'none' });

interface Content<C extends z.ZodType, M extends z.ZodRawShape> {
  description: string;
  content: C;
  meta?: M;
  example: z.input<C>;
  exampleMeta?: z.input<z.ZodObject<M>>;
}

/** A key of the `meta` of answers to requests with a body. The transport fills it in. */
export const ignoredKeys = { ignored: Ignored.optional() };

/** Defines a successful answer with the JSON envelope `{ meta, content }`. */
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

/** Defines an answer in plain text, without the JSON envelope. */
export const defineTextAnswer = (description: string, example: string) => ({
  description,
  type: 'text/plain',
  schema: z.string(),
  example,
});

const commonRefusals = ['BAD_REQUEST', 'TOO_LARGE', 'INTERNAL', 'UNAVAILABLE'] as const;

/**
 * The error codes that many routes share: `user` for routes that need the token of a user, `room` for those that also
 * name a room, and `admin` for routes that need the admin token.
 */
export const refusals = {
  user: [...commonRefusals, ...tokenErrorCodes, 'RATE_LIMITED'],
  room: [...commonRefusals, ...tokenErrorCodes, 'RATE_LIMITED', 'NOT_FOUND', 'FORBIDDEN', 'BANNED'],
  admin: [...commonRefusals, 'UNAUTHENTICATED', 'NOT_FOUND'],
} as const satisfies Record<string, readonly ErrorCode[]>;
