import { defineEntity, type InferEntity, p } from '@mikro-orm/core';

/**
 * A row revokes either all tokens of a user that were issued before a certain time, or the token with this `jti`.
 * `version` grows in the order of commits (see `withRevocationLock`), so a node that knows all revocations up to one
 * version only reads those from that version on. A lifted revocation is kept for a while, so that all nodes can read
 * that it was lifted.
 */
export const RevocationEntity = defineEntity({
  name: 'Revocation',
  tableName: 'revocations',
  uniques: [
    { properties: ['version'], name: 'revocations_version_unique' },
    { properties: ['userUuid', 'issuedBefore'], name: 'revocations_user_unique', where: 'lifted_at is null' },
    { properties: ['jti'], name: 'revocations_jti_unique', where: 'lifted_at is null' },
  ],
  properties: {
    id: p.bigint('number').primary().generated('by default as identity'),
    userUuid: p.uuid().nullable(),
    /** Seconds since 1970, as in `iat`. */
    issuedBefore: p.bigint('number').nullable(),
    jti: p.string().length(255).nullable(),
    version: p.bigint('number'),
    createdAt: p.datetime(3),
    liftedAt: p.datetime(3).nullable(),
  },
});
export type RevocationEntity = InferEntity<typeof RevocationEntity>;
