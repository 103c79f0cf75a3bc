// A chat token, signed by your backend: JWT_SECRET=... node token.js USER_UUID [ENTITY_UUID LEVEL]

import { createHmac, randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';

/** For a user whom your backend knows by now; short-lived, for the client asks for a fresh one at every connect. */
export function chatToken(secret, user, entity, level = 0, seconds = 600) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { userUUID: user, entityUUID: entity, levelOnEntity: level, iat: now, exp: now + seconds };
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ ...claims, jti: randomUUID() })}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [user, entity, level] = process.argv.slice(2);
  console.log(chatToken(process.env.JWT_SECRET, user, entity, Number(level ?? 0)));
}
