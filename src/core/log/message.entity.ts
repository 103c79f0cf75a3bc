import { defineEntity, type InferEntity, p } from '@mikro-orm/core';
import { RoomEntity } from './room.entity.ts';

/**
 * A message is the log's entry of its `rev`. The key is (room, seq), which is how history is read; `id` only names a
 * message on the wire. Rows come under the room's lock and
 * go with the room, by a trigger, so no foreign key is checked for each. No index on the time: it never decreases with `seq`, so `seq_at()` finds dates by bisection.
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
