import { z } from 'zod';
import { computeEditDistance } from './edit-distance.ts';
import { ChatError, parse } from './errors.ts';

/** A body of 64 KiB may have thousands of keys, or one key of 64 KiB: only this many, of at most this length, are reported. */
const maxKeys = 20;
const maxKeyLength = 64;

/** The keys of an object that its schema does not have. */
export const Ignored = z
  .array(z.string())
  .max(maxKeys)
  .describe(
    'Keys of the request that the server ignored because it does not know them; at most 20 of at most 64 characters.',
  );

const knownKeys = new WeakMap<z.ZodType, ReadonlySet<string>>();

function listKeys(schema: z.ZodType): ReadonlySet<string> {
  const known = knownKeys.get(schema) ?? new Set(Object.keys(unwrapObject(schema)?.shape ?? {}));
  knownKeys.set(schema, known);
  return known;
}

/** The object schema below refinements and transformations. */
function unwrapObject(schema: unknown): z.ZodObject | undefined {
  if (schema instanceof z.ZodObject) return schema;
  return schema instanceof z.ZodPipe ? (unwrapObject(schema.in) ?? unwrapObject(schema.out)) : undefined;
}

/** Parses a client's input. `ignored` are the keys that the schema does not have. */
export function parseWithIgnored<T extends z.ZodType>(
  schema: T,
  input: unknown,
): { data: z.infer<T>; ignored: string[] } {
  const ignored = findUnknownKeys(schema, input);
  return { data: parse(schema, input), ignored };
}

/**
 * The keys of `input` that the schema does not have. Throws if such a key is probably a typo of a known key that is
 * missing, because the client would not notice that the key has no effect.
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

/** The same letters in another style, such as `levelAdmin`, or a difference of one or two letters. */
function isTypo(key: string, name: string): boolean {
  if (name.length < 4 || Math.abs(key.length - name.length) > 2 || key.startsWith('_')) return false;
  const [keyLetters, nameLetters] = [normalize(key), normalize(name)];
  return keyLetters === nameLetters || computeEditDistance(keyLetters, nameLetters) <= (name.length < 8 ? 1 : 2);
}

const normalize = (key: string) => key.replace(/[-_.]/g, '').toLowerCase();
