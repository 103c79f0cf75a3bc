import { defineEntity, type InferEntity, p } from '@mikro-orm/core';

/** The key that the product's backend gave to a room. A trigger deletes it together with the room. */
export const RoomKeyEntity = defineEntity({
  name: 'RoomKey',
  tableName: 'room_keys',
  properties: {
    key: p.string().length(128).primary(),
    roomId: p.bigint('number').unique(),
  },
});
export type RoomKeyEntity = InferEntity<typeof RoomKeyEntity>;
