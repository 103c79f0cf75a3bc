import { z } from 'zod';
import { computeEditDistance } from './edit-distance.ts';
import { ChatError, parse } from './errors.ts';

/** A body of 64 KiB may have thousands of keys, or one of 64 KiB; so many of at most this length are looked at, and told. */
const maxKeys = 20;
const maxKeyLength = 64;

/** The keys of an object that its schema has no use for. */
export const Ignored = z
  .array(z.string())
  .max(maxKeys)
  .describe('Keys of the request that the server does not know and did not use; at most 20 of at most 64 characters.');

const knownKeys = new WeakMap<z.ZodType, ReadonlySet<string>>();

function listKeys(schema: z.ZodType): ReadonlySet<string> {
  const known = knownKeys.get(schema) ?? new Set(Object.keys(unwrapObject(schema)?.shape ?? {}));
  knownKeys.set(schema, known);
  return known;
}

/** The object that a schema with transformations around it begins with. */
function unwrapObject(schema: unknown): z.ZodObject | undefined {
  if (schema instanceof z.ZodObject) return schema;
  return schema instanceof z.ZodPipe ? (unwrapObject(schema.in) ?? unwrapObject(schema.out)) : undefined;
}

/** Parses what a client sent; `ignored` are the keys that the schema does not have. */
export function parseWithIgnored<T extends z.ZodType>(
  schema: T,
  input: unknown,
): { data: z.infer<T>; ignored: string[] } {
  const ignored = findUnknownKeys(schema, input);
  return { data: parse(schema, input), ignored };
}

/**
 * The keys of `input` that are not known. Throws for one that is nearly the name of a known key which is absent: it is
 * a slip, and the client would wait in vain for its effect.
 */
export function findUnknownKeys(schema: z.ZodType, input: unknown): string[] {
  const known = listKeys(schema);
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return noKeys;
  let unknown: string[] | undefined;
  for (const key in input) {
    if (known.has(key) || !Object.hasOwn(input, key)) continue;
    unknown ??= [];
    if (unknown.length < maxKeys && key.length <= maxKeyLength) unknown.push(key);
  }
  if (!unknown) return noKeys;
  for (const key of unknown) {
    for (const name of known) {
      if (isTypo(key, name) && (input as Record<string, unknown>)[name] === undefined) {
        throw new ChatError('BAD_REQUEST', { field: key, message: `is not a known key; did you mean ${name}?` });
      }
    }
  }
  return unknown;
}

const noKeys: string[] = [];

/** The same letters in another style, such as `levelAdmin`; or a letter or two more, fewer or other. */
function isTypo(key: string, name: string): boolean {
  if (name.length < 4 || Math.abs(key.length - name.length) > 2 || key.startsWith('_')) return false;
  const [one, other] = [normalize(key), normalize(name)];
  return one === other || computeEditDistance(one, other) <= (name.length < 8 ? 1 : 2);
}

const normalize = (key: string) => key.replace(/[-_.]/g, '').toLowerCase();
