import { defineEntity, type InferEntity, p } from '@mikro-orm/core';
import { RoomEntity } from './room.entity.ts';

/**
 * A message is also an entry of the room's log; `rev` is its position there. The primary key is (room, seq), because
 * history is read in this order; `id` only identifies the message for clients. A foreign key would only slow down
 * inserts: messages are inserted under the room's lock. They are removed after the room was deleted. The time needs no
 * index, because it never decreases as `seq` increases: `seq_at()` finds a date by binary search.
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
    replyTo: p.bigint('number').nullable(),
    /** The `seq` of the root of the thread that the message belongs to. */
    thread: p.bigint('number').nullable(),
    mentions: p.array().columnType('uuid[]').nullable(),
    /** JSON as text, because `jsonb` reorders keys and changes numbers. */
    custom: p.text().nullable(),
    /** Bits: 1 silent, 2 mentions everybody in the room, 4 has or had reactions, 8 has or had replies. */
    flags: p.smallint().nullable(),
    editedAt: p.datetime(3).nullable(),
    deletedAt: p.datetime(3).nullable(),
    deletedBy: p.uuid().nullable(),
    /** The `rev` of the last edit or deletion; null if there was none. */
    version: p.bigint('number').nullable(),
  },
});
export type MessageEntity = InferEntity<typeof MessageEntity>;
