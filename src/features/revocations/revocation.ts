import { z } from 'zod';
import { exampleRevocation } from '../../core/examples.ts';
import { count, NonNilUuid, Uuid } from '../../core/ids.ts';
import { dateBound } from '../../core/timestamp.ts';

/** The end of the year 9999. A larger number is probably in milliseconds by mistake. */
const maxSeconds = 253_402_300_799;
const secondsError = `must be whole seconds since 1970, from 1 to ${maxSeconds}, or an ISO 8601 date`;

/**
 * Seconds since 1970. The `iat` of a token is rounded down to a second. Therefore dates are rounded up here: the
 * revocation then includes all tokens that were issued before the date.
 */
const IssuedBefore = z
  .union([z.number(), dateBound('from').transform((ms) => Math.ceil(ms / 1_000))], { error: secondsError })
  .pipe(z.int(secondsError).min(1, secondsError).max(maxSeconds, secondsError));

const jtiError = 'must be a string of 1 to 255 characters, or a whole number up to 2^53-1';
/** A number is converted to a string of digits. The verification of tokens does the same. */
const Jti = z
  .union([z.string().min(1, jtiError).max(255, jtiError), z.int().transform(String)], { error: jtiError })
  .pipe(z.string().refine((jti) => jti.isWellFormed() && !jti.includes('\0'), 'must be valid Unicode without NUL'));

type RevocationTarget =
  | { user: Uuid; issuedBefore: number; jti: null }
  | { user: null; issuedBefore: null; jti: string };

/** Revokes the tokens of a user that were issued before a date, or a single token. */
export const CreateRevocation = z
  .object(
    {
      userUUID: NonNilUuid.nullish().describe('Whose tokens; with `issued_before`.'),
      issued_before: IssuedBefore.nullish().describe(
        'Tokens with an earlier `iat`, or without one: seconds since 1970, or an ISO 8601 date.',
      ),
      jti: Jti.nullish().describe('A single token, by its `jti`; instead of the other two.'),
    },
    { error: 'the body must be a JSON object' },
  )
  .transform(({ userUUID: user, issued_before: issuedBefore, jti }, context): RevocationTarget => {
    const reject = (field: string, message: string) => {
      context.addIssue({ code: 'custom', path: [field], message });
      return z.NEVER;
    };
    if (jti && (user || issuedBefore)) return reject('jti', 'may not be given with userUUID or issued_before');
    if (jti) return { user: null, issuedBefore: null, jti };
    if (!user && !issuedBefore) return reject('userUUID', 'is required, with issued_before; or jti instead of both');
    if (!user) return reject('userUUID', 'is required with issued_before');
    if (!issuedBefore) return reject('issued_before', 'is required with userUUID');
    return { user, issuedBefore, jti: null };
  })
  .meta({ id: 'CreateRevocation', anyOf: [{ required: ['userUUID', 'issued_before'] }, { required: ['jti'] }] });
export type CreateRevocation = z.infer<typeof CreateRevocation>;

export const Revocation = z
  .object({
    id: z.number().int(),
    userUUID: Uuid.nullable(),
    issued_before: z.number().int().nullable().describe('Seconds since 1970.'),
    jti: z.string().nullable(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'Revocation', examples: [exampleRevocation] });
export type Revocation = z.infer<typeof Revocation>;

const id = count(1, Number.MAX_SAFE_INTEGER);

export const RevocationListQuery = z.object({
  limit: count(1, 1_000).default(100).describe('The maximum number of revocations.'),
  before: id.optional().describe('The `id` of a revocation: only older revocations.'),
});
export type RevocationListQuery = z.infer<typeof RevocationListQuery>;

export const RevocationParams = z.object({ id: id.describe('The `id` of the revocation.') });
