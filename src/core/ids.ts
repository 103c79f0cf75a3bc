import { z } from 'zod';

// Lists upper and lower case instead of using the flag `i`, because patterns in OpenAPI and AsyncAPI have no flags.
const uuidShape = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/;

const uuidError = 'must be a UUID; for other ids see docs/guides/user-ids.md';

/**
 * Accepts any 8-4-4-4-12 hexadecimal string and converts it to lower case. The version of the UUID is not checked,
 * because products also use ids without a valid version.
 */
export const Uuid = z
  .string({ error: uuidError })
  .regex(uuidShape, uuidError)
  .transform((uuid) => uuid.toLowerCase())
  .meta({
    id: 'Uuid',
    description: '8-4-4-4-12 hexadecimal digits, accepted in either case and returned in lower case.',
  });
export type Uuid = string;

/** The emitter of the messages that the service itself sends. It is no user: a token with it is rejected. */
export const nilUuid = '00000000-0000-0000-0000-000000000000';

/** A user or an entity that a request names. The service has no rules, rooms or tokens as a user. */
export const NonNilUuid = Uuid.refine(
  (uuid) => uuid !== nilUuid,
  'must not be the nil UUID, which is the service',
).meta({
  id: 'NonNilUuid',
  description: 'A UUID like `Uuid`, but not the nil UUID, which is the service itself.',
});

export const RoomId = z.number().int().positive().meta({ id: 'RoomId', description: 'The number of a room.' });
export type RoomId = number;

const keyCharacters = '[A-Za-z0-9_.-]';
/** `.` and `..` are no keys, because they have a meaning in paths. */
const keyShape = new RegExp(`^key:(?!\\.{1,2}$)${keyCharacters}{1,128}$`);
const keyError = 'must be key: and 1 to 128 of the characters A-Z a-z 0-9 _ - . (not key:. or key:..)';

/** A room by the key that the product's backend gave it, such as `key:order-42`. */
export const RoomKeyRef = z
  .string({ error: keyError })
  .regex(keyShape, keyError)
  .transform((ref) => ref as `key:${string}`)
  .meta({ id: 'RoomKeyRef', description: "A room by the product's own key: `key:` and 1 to 128 of `A-Za-z0-9_-.`." });
export type RoomKeyRef = `key:${string}`;

/** The first characters of a key, or all of them. */
export const KeyPrefix = z
  .string()
  .regex(new RegExp(`^${keyCharacters}{1,128}$`), 'must be 1 to 128 of the characters A-Z a-z 0-9 _ - .');

const roomRefError = { error: "must be a room's number, its UUID, or key: and its key" };
const roomNumber = /^[1-9][0-9]{0,15}$/;

/** Identifies a room by its number, by the decimal string of its number, by its UUID or by its key. */
export const RoomRef = z
  .union(
    [
      z.int(roomRefError).positive(roomRefError),
      z.string().regex(new RegExp(`${roomNumber.source}|${uuidShape.source}|${keyShape.source}`), roomRefError),
    ],
    roomRefError,
  )
  .transform((ref, context): RoomRef => {
    if (typeof ref === 'string' && uuidShape.test(ref)) return ref.toLowerCase();
    if (isKeyRef(ref)) return ref;
    const id = Number(ref);
    if (Number.isSafeInteger(id)) return id;
    context.addIssue({ code: 'custom', message: roomRefError.error });
    return z.NEVER;
  })
  .meta({
    id: 'RoomRef',
    description: 'A room: its number, the decimal string of the number, its `uuid`, or `key:` and its key.',
  });
export type RoomRef = RoomId | Uuid | RoomKeyRef;

export const isKeyRef = (ref: RoomRef): ref is RoomKeyRef => typeof ref === 'string' && ref.startsWith('key:');
export const toKey = (ref: RoomKeyRef): string => ref.slice('key:'.length);

const int32 = 2_147_483_647;

/** Also accepts strings of digits, because older clients send them. */
const integer = (min: number) => {
  const integerError = { error: `must be an integer from ${min} to ${int32}, or its digits in a string` };
  return z
    .union([z.int(integerError), z.string().regex(/^-?[0-9]{1,10}$/, integerError)], integerError)
    .transform(Number)
    .pipe(z.int(integerError).min(min, integerError).max(int32, integerError))
    .meta({ minimum: min, maximum: int32 });
};

export const Level = integer(-int32);
export const AdminLevel = integer(0);

/** Also accepts strings of digits, because query strings contain only strings. */
export const count = (min: number, max: number) => {
  const countError = { error: `must be a whole number from ${min} to ${max}` };
  return z
    .union([z.int(countError), z.string().regex(/^[0-9]{1,16}$/, countError)], countError)
    .transform(Number)
    .pipe(z.int(countError).min(min, countError).max(max, countError))
    .meta({ minimum: min, maximum: max });
};

export const flag = z
  .union([z.boolean(), z.enum(['true', 'false'])], { error: 'must be true or false' })
  .transform((value) => value === true || value === 'true');
