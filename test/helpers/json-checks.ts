import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { Json } from './json.ts';

/** Checks a value against the schema at a place in a document. Returns why it does not match. */
export type Check = (place: readonly string[], value: unknown) => string | undefined;

/** Compiles the schema of each place at its first use, once per process. */
export function createCheck(document: Json): Check {
  const ajv = new Ajv2020({ strict: false });
  (addFormats as unknown as (ajv: Ajv2020) => void)(ajv);
  ajv.addSchema(document, 'document');
  const known = new Map<string, ValidateFunction>();
  return (place, value) => {
    const pointer = place.map(pointerPart).join('/');
    const validate = known.get(pointer) ?? ajv.compile({ $ref: `document#/${pointer}` });
    known.set(pointer, validate);
    return validate(value) ? undefined : (validate.errors ?? []).map(formatError).join(', ');
  };
}

function formatError({ instancePath, message, params }: ErrorObject): string {
  const name = params.additionalProperty;
  if (name !== undefined) return `${instancePath}/${name} is not in the document`;
  return `${instancePath} ${message}${params.allowedValues ? `: ${params.allowedValues}` : ''}`.trim();
}

const pointerPart = (part: string) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'));

/** Returns the document with all unknown keys forbidden, because a server may only send what is documented. */
export function disallowUnknownKeys(node: Json): Json {
  if (Array.isArray(node)) return node.map(disallowUnknownKeys);
  if (typeof node !== 'object' || node === null) return node;
  const same = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, disallowUnknownKeys(value)]));
  const isOpen = node.type === 'object' && node.properties && !('additionalProperties' in node);
  return isOpen ? { ...same, additionalProperties: false } : same;
}
