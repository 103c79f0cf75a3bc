import { defineEntity, type InferEntity, p } from '@mikro-orm/core';

/**
 * Every transaction that writes to the log of a room locks this row first. `lastSeq`, `lastRev`, `rightsRev` and
 * `lastChangeAt` change only under this lock. `rightsRev` is the `rev` of the last change that affects rights: as long
 * as it is the same, earlier decisions about rights are still valid.
 */
export const RoomEntity = defineEntity({
  name: 'Room',
  tableName: 'rooms',
  uniques: [{ properties: ['pairLow', 'pairHigh'], name: 'rooms_pair_unique' }],
  indexes: [
    { properties: ['entityOwner', 'levelAdmin'], name: 'rooms_owner_index' },
    { properties: ['userOwner'], name: 'rooms_creator_index' },
  ],
  properties: {
    id: p.bigint('number').primary().generated('by default as identity'),
    uuid: p.uuid().unique(),
    name: p.string().length(255),
    type: p.string().length(16).$type<'group' | 'user2user'>(),
    levelAdmin: p.integer(),
    userOwner: p.uuid(),
    /** The organisation of the user owner when they created the room, even if the room is not open to it. */
    userOwnerEntity: p.uuid().nullable(),
    entityOwner: p.uuid().nullable(),
    /** The two users of a user2user room, in the order of `orderPair`; null until both are known. */
    pairLow: p.uuid().nullable(),
    pairHigh: p.uuid().nullable(),
    maxEntityRules: p.integer(),
    lastSeq: p.bigint('number').default(0),
    lastRev: p.bigint('number').default(0),
    rightsRev: p.bigint('number').default(0),
    lastChangeAt: p.datetime(3),
    /**
     * When the last message was sent, not counting silent messages and replies. If null, `lastChangeAt` is used
     * instead.
     */
    activeAt: p.datetime(3).nullable(),
    /** Whether members see how far the others have read. If null, only in a `user2user` room. */
    receipts: p.boolean().nullable(),
    /** Whether members who may read, but not write, may react to messages. */
    readersReact: p.boolean().nullable(),
    /** The last imported message: users without a position have read it. */
    importedSeq: p.bigint('number').nullable(),
    createdAt: p.datetime(3),
    updatedAt: p.datetime(3),
  },
});
export type RoomEntity = InferEntity<typeof RoomEntity>;
