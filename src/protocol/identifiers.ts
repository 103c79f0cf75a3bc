import { z } from 'zod';

const uuidShape = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Any 8-4-4-4-12 hexadecimal, kept in lower case: products make UUIDs of every version, and of none. */
export const Uuid = z
  .string({ error: 'must be a UUID' })
  .regex(uuidShape, 'must be a UUID')
  .transform((uuid) => uuid.toLowerCase());
export type Uuid = string;

export const RoomId = z.number().int().positive();
export type RoomId = number;

/** A room by its number, the decimal string of it, or its UUID. */
export const RoomRef = z
  .union([z.number(), z.string()], { error: "must be a room's number or UUID" })
  .transform((ref, context): RoomId | Uuid => {
    if (typeof ref === 'string' && uuidShape.test(ref)) return ref.toLowerCase();
    const id = typeof ref === 'string' ? (/^[1-9][0-9]{0,15}$/.test(ref) ? Number(ref) : Number.NaN) : ref;
    if (Number.isSafeInteger(id) && id > 0) return id;
    context.addIssue({ code: 'custom', message: "must be a room's number or UUID" });
    return z.NEVER;
  });
export type RoomRef = RoomId | Uuid;

const int32 = 2_147_483_647;

/** An integer, or its digits in a string, as older clients send it. */
const integer = (min: number) =>
  z
    .union([z.number(), z.string().regex(/^-?[0-9]{1,10}$/)], {
      error: 'must be an integer, or its digits in a string',
    })
    .transform(Number)
    .pipe(
      z
        .int({ error: 'must be an integer, or its digits in a string' })
        .min(min, `must be at least ${min}`)
        .max(int32, `must be at most ${int32}`),
    );

export const Level = integer(-int32);
export const AdminLevel = integer(0);

/** A whole number in a query string. */
export const count = (min: number, max: number) =>
  z
    .union([z.number(), z.string().regex(/^[0-9]{1,16}$/)], { error: `must be a whole number from ${min} to ${max}` })
    .transform(Number)
    .pipe(z.int().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`));

export const flag = z
  .union([z.boolean(), z.enum(['true', 'false'])], { error: 'must be true or false' })
  .transform((value) => value === true || value === 'true');
