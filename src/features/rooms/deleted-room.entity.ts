import { defineEntity, p } from '@mikro-orm/core';

/**
 * A deleted room whose rows in other tables have not been removed yet. A trigger inserts it, and a SQL function removes
 * the rows. The entity exists so that MikroORM can compare the table with the migrations.
 */
export const DeletedRoomEntity = defineEntity({
  name: 'DeletedRoom',
  tableName: 'deleted_rooms',
  properties: {
    roomId: p.bigint('number').primary().autoincrement(false),
    lastSeq: p.bigint('number'),
    deletedAt: p.datetime(3),
    /** The table whose rows are being removed, as its place in the order of the function. */
    step: p.smallint().default(0),
    /** The key of the last row of this table that was removed. */
    after: p.array().columnType('text[]').nullable(),
  },
});
