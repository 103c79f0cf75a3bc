import { defineEntity, type InferEntity, p } from '@mikro-orm/core';
import { RoomEntity } from './room.entity.ts';

/** The changes of a room's log, except for messages, which have their own table. */
export const RoomChangeEntity = defineEntity({
  name: 'RoomChange',
  tableName: 'room_changes',
  properties: {
    room: () => p.manyToOne(RoomEntity).primary().createForeignKeyConstraint(false),
    rev: p.bigint('number').primary(),
    kind: p.string().length(8).$type<'member' | 'room'>(),
    /** The `rule` or `room` of the change, in the form in which nodes send it to each other. */
    body: p.json<unknown>(),
    at: p.datetime(3),
    /** The user who made the change; null for the service, and for changes of earlier versions. */
    actor: p.uuid().nullable(),
  },
});
export type RoomChangeEntity = InferEntity<typeof RoomChangeEntity>;
