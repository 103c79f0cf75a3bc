import { defineEntity, type InferEntity, p } from '@mikro-orm/core';
import { RoomEntity } from './room.entity.ts';

/**
 * A message is the entry of the room's log with its `rev`. The key is (room, seq), the order in which history is read;
 * `id` only identifies a message on the wire. Rows are inserted under the room's lock and deleted with the room by a
 * trigger, so a foreign key would only slow down inserts. The time needs no index: it never decreases with `seq`, so
 * `seq_at()` finds a date by bisection.
 */
export const MessageEntity = defineEntity({
  name: 'Message',
  tableName: 'messages',
  uniques: [
    { properties: ['room', 'rev'], name: 'messages_rev_unique' },
    {
      properties: ['room', 'emitter', 'clientMsgId'],
      name: 'messages_client_msg_id_unique',
      where: 'client_msg_id is not null',
    },
  ],
  properties: {
    room: () => p.manyToOne(RoomEntity).primary().createForeignKeyConstraint(false),
    seq: p.bigint('number').primary(),
    id: p.bigint('number').generated('by default as identity'),
    rev: p.bigint('number'),
    emitter: p.uuid(),
    content: p.text(),
    clientMsgId: p.string().length(64).nullable(),
    createdAt: p.datetime(3),
    updatedAt: p.datetime(3),
  },
});
export type MessageEntity = InferEntity<typeof MessageEntity>;
