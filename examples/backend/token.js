// Signs a chat token in your backend: JWT_SECRET=... node token.js USER [ENTITY LEVEL]
// If your ids are not UUIDs, also set CHAT_NAMESPACE to a UUID that you generate once and never change.

import { createHash, createHmac, randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';

/** Authenticate the user first. The token may be short-lived: the client asks for a new one at every connect. */
export function signChatToken(secret, user, entity, level = 0, seconds = 600) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { userUUID: user, entityUUID: entity, levelOnEntity: level, iat: now, exp: now + seconds };
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const unsigned = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ ...claims, jti: randomUUID() })}`;
  return `${unsigned}.${createHmac('sha256', secret).update(unsigned).digest('base64url')}`;
}

/** Derives a UUIDv5 from one of your ids, such as 42 or an ObjectId. The same id always gives the same UUID. */
export function deriveUuid(namespace, kind, id) {
  const namespaceBytes = Buffer.from(namespace.replaceAll('-', ''), 'hex');
  const bytes = createHash('sha1').update(namespaceBytes).update(`${kind}:${id}`).digest().subarray(0, 16);
  bytes[6] = (bytes[6] & 0x0f) | 0x50;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [user, entity, level] = process.argv.slice(2);
  const { JWT_SECRET, CHAT_NAMESPACE } = process.env;
  const uuid = (kind, id) => (id && CHAT_NAMESPACE ? deriveUuid(CHAT_NAMESPACE, kind, id) : id);
  console.log(signChatToken(JWT_SECRET, uuid('user', user), uuid('entity', entity), Number(level ?? 0)));
}
