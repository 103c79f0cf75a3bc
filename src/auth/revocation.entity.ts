import { defineEntity, type InferEntity, p } from '@mikro-orm/core';

/**
 * Tokens that hold no more: a user's that were issued before a moment, or the one with this `jti`. `version` grows in
 * the order of commits (see `inRevocationLog`), so a node that knows all up to one version asks for those after it. A
 * lifted one stays for a while, so that all nodes hear of it.
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
