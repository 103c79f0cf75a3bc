import { defineEntity, p } from '@mikro-orm/core';

/** The node that does something for all nodes. `token` grows with every new holder. See `lease.ts`. */
export const LeaseEntity = defineEntity({
  name: 'Lease',
  tableName: 'leases',
  properties: {
    name: p.string().length(128).primary(),
    holder: p.text(),
    token: p.bigint('number'),
    until: p.datetime(3),
  },
});
