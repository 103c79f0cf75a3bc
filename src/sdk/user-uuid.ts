import { createHash } from 'node:crypto';

const uuidShape = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export const isUuid = (text: unknown): text is string => typeof text === 'string' && uuidShape.test(text);

/**
 * Derives the UUID of a user from the product's own id, such as 42 or an ObjectId: the UUIDv5 of `user:42`. The same
 * namespace and id always give the same UUID, in every language. Throws a TypeError for an id that is missing.
 */
export const userUuid = (namespace: string, id: string | number | bigint): string => deriveUuid(namespace, 'user', id);

/** Derives the UUID of an organisation from the product's own id: the UUIDv5 of `entity:7`. It never equals a user's. */
export const entityUuid = (namespace: string, id: string | number | bigint): string =>
  deriveUuid(namespace, 'entity', id);

function deriveUuid(namespace: string, kind: string, id: string | number | bigint): string {
  const isId = typeof id === 'string' ? id !== '' : typeof id === 'bigint' || Number.isSafeInteger(id);
  if (!isId) {
    throw new TypeError(`id: must be text, or a whole number up to 2^53-1, not ${id === '' ? 'an empty text' : id}`);
  }
  return uuidV5(namespace, `${kind}:${id}`);
}

/** The UUIDv5 of a name, as RFC 9562 defines it. Use it for names of your own instead of `user:` and `entity:`. */
export function uuidV5(namespace: string, name: string): string {
  if (!isUuid(namespace)) throw new TypeError('namespace: must be a UUID; run uuidgen once and keep the result');
  const bytes = createHash('sha1').update(namespace.replaceAll('-', ''), 'hex').update(name).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x50;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
