import { defineEntity, p } from '@mikro-orm/core';

// The function `write_positions` writes this table. The entities exist so that MikroORM can compare the tables with the
// migrations.

/** How far a user has read in a room, and their personal settings there. */
const PositionEntity = defineEntity({
  name: 'Position',
  tableName: 'positions',
  properties: {
    roomId: p.bigint('number').primary(),
    userUuid: p.uuid().primary(),
    /** Null if the user has only settings. */
    readSeq: p.bigint('number').nullable(),
    /** How far others may see that the user has read. */
    receiptSeq: p.bigint('number').nullable(),
    version: p.bigint('number'),
    muted: p.boolean(),
    /** The `seq` of the newest message at the time when the user hid the room. */
    hiddenSeq: p.bigint('number').nullable(),
    /** The claims of the user's token, on which their rights depend. */
    entity: p.uuid().nullable(),
    level: p.integer().nullable(),
  },
});

/** Stores when the service first saw each user. */
const SeenUserEntity = defineEntity({
  name: 'SeenUser',
  tableName: 'users_seen',
  properties: { userUuid: p.uuid().primary(), at: p.datetime(3) },
});

export const readStateTables = [PositionEntity, SeenUserEntity];
