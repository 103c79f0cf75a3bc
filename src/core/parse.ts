import { z } from 'zod';
import { computeEditDistance } from './edit-distance.ts';
import { ChatError } from './errors.ts';

/**
 * Limits the unknown keys that an answer reports, because a request of 64 KiB can contain thousands of keys or one very
 * long key.
 */
const maxKeys = 20;
const maxKeyLength = 64;

/** The keys of a request that its schema does not have. */
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

/** Finds the object schema inside `transform` and `preprocess`. */
function unwrapObject(schema: unknown): z.ZodObject | undefined {
  if (schema instanceof z.ZodObject) return schema;
  return schema instanceof z.ZodPipe ? (unwrapObject(schema.in) ?? unwrapObject(schema.out)) : undefined;
}

const typeNames: Record<string, string> = {
  ...{ string: 'a string', number: 'a number', int: 'a whole number', boolean: 'true or false' },
  ...{ object: 'an object', record: 'an object', array: 'a list' },
};

const units: Record<string, string> = { string: ' characters', array: ' entries' };

/** States what is wrong if the schema has no text for it. Callers must not read the texts of the schema library. */
function describeIssue(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${typeNames[issue.expected] ?? 'of another type'}`;
    case 'too_small':
    case 'too_big': {
      const [word, bound] = issue.code === 'too_small' ? ['least', issue.minimum] : ['most', issue.maximum];
      const unit = units[issue.origin];
      return unit ? `must have at ${word} ${bound}${unit}` : `must be at ${word} ${bound}`;
    }
    case 'invalid_value':
      return `must be ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map(String).join(', ')}`;
    case 'unrecognized_keys':
      return `has unknown keys: ${issue.keys.slice(0, maxKeys).join(', ')}`;
    default:
      return 'is not in the documented format';
  }
}

/** Parses data from outside, such as a request. Throws `BAD_REQUEST` with the first invalid field. */
export function parse<T extends z.ZodType>(schema: T, input: unknown): z.infer<T> {
  const parsed = schema.safeParse(input, { error: describeIssue });
  if (parsed.success) return parsed.data;
  throw ChatError.from(parsed.error);
}

/** Parses the input. `ignored` lists the keys of the input that the schema does not have. */
export function parseWithIgnored<T extends z.ZodType>(
  schema: T,
  input: unknown,
): { data: z.infer<T>; ignored: string[] } {
  const ignored = findUnknownKeys(schema, input);
  return { data: parse(schema, input), ignored };
}

/**
 * Returns the keys of `input` that the schema does not have. Throws `BAD_REQUEST` if such a key is probably a typo for
 * a known key that is missing. Otherwise clients might not notice that the mistyped key has no effect.
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

/**
 * For the entries of a list: rejects a mistyped key, which would otherwise be ignored. `keys` has the known keys. The type
 * keeps the input of the schema, which `preprocess` would widen to `unknown` for callers in TypeScript.
 */
export function withKnownKeys<T extends z.ZodType>(schema: T, keys: z.ZodType = schema) {
  const checked = z.preprocess((input, context) => {
    try {
      findUnknownKeys(keys, input);
    } catch (error) {
      const { field, message } = ChatError.from(error);
      context.addIssue({ code: 'custom', path: field === undefined ? [] : [field], message });
    }
    return input;
  }, schema);
  return checked as unknown as z.ZodType<z.output<T>, z.input<T>>;
}

const noKeys: string[] = [];

/**
 * Whether `key` differs from `name` only in its style, such as `levelAdmin` for `level_admin`, or in 1 or 2 letters.
 */
function isTypo(key: string, name: string): boolean {
  if (name.length < 4 || Math.abs(key.length - name.length) > 2 || key.startsWith('_')) return false;
  const [keyLetters, nameLetters] = [normalize(key), normalize(name)];
  return keyLetters === nameLetters || computeEditDistance(keyLetters, nameLetters) <= (name.length < 8 ? 1 : 2);
}

const normalize = (key: string) => key.replace(/[-_.]/g, '').toLowerCase();
