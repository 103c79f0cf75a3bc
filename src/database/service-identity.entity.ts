import { defineEntity, type InferEntity, p } from '@mikro-orm/core';

/**
 * The table has one row, which distinguishes the database from its copies. `service-identity.ts` reads and writes the
 * row.
 */
export const ServiceIdentityEntity = defineEntity({
  name: 'ServiceIdentity',
  tableName: 'service_identity',
  properties: {
    id: p.integer().primary().autoincrement(false),
    identity: p.string().length(64),
    /** The oid of the database and the id of the transaction in which the row was written. */
    databaseOid: p.bigint('number'),
    writtenBy: p.bigint('number'),
  },
});
export type ServiceIdentityEntity = InferEntity<typeof ServiceIdentityEntity>;
