// A chat token, signed by your backend: JWT_SECRET=... node token.js USER [ENTITY LEVEL]
// If your ids are no UUIDs, also set CHAT_NAMESPACE to a UUID that you make once and never change.

import { createHash, createHmac, randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';

/** For a user whom your backend knows by now; short-lived, for the client asks for a fresh one at every connect. */
export function chatToken(secret, user, entity, level = 0, seconds = 600) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { userUUID: user, entityUUID: entity, levelOnEntity: level, iat: now, exp: now + seconds };
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ ...claims, jti: randomUUID() })}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** The UUID that stands for an id of yours, such as 42 or an ObjectId: always the same one (UUIDv5). */
export function chatUuid(namespace, kind, id) {
  const space = Buffer.from(namespace.replaceAll('-', ''), 'hex');
  const bytes = createHash('sha1').update(space).update(`${kind}:${id}`).digest().subarray(0, 16);
  bytes[6] = (bytes[6] & 0x0f) | 0x50;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [user, entity, level] = process.argv.slice(2);
  const { JWT_SECRET, CHAT_NAMESPACE } = process.env;
  const uuid = (kind, id) => (id && CHAT_NAMESPACE ? chatUuid(CHAT_NAMESPACE, kind, id) : id);
  console.log(chatToken(JWT_SECRET, uuid('user', user), uuid('entity', entity), Number(level ?? 0)));
}
