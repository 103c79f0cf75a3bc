import { defineEntity, type InferEntity, p } from '@mikro-orm/core';
import type { Uuid } from '../core/ids.ts';

/** What a rule of the original grants, as the import last saw it. */
export interface SeenRule {
  permissions: string;
  level: number;
  accepted: boolean;
}

/**
 * The rooms that `npm run import` has brought, and how far it has come with each. There is no foreign key: the mark of a
 * room that was deleted here stays, so that the room does not come back.
 */
export const ImportedRoomEntity = defineEntity({
  name: 'ImportedRoom',
  tableName: 'imported_rooms',
  properties: {
    roomId: p.bigint('number').primary().autoincrement(false),
    /** The room's in the original, which tells it from another database's room of the same number. */
    uuid: p.uuid(),
    /** The highest id among the messages that were seen, and how many were. */
    lastMessageId: p.bigint('number'),
    seenMessages: p.bigint('number'),
    /** How many of those were not taken over. */
    leftOut: p.bigint('number'),
    rules: p.json<Record<Uuid, SeenRule>>(),
    importedAt: p.datetime(3),
  },
});
export type ImportedRoomEntity = InferEntity<typeof ImportedRoomEntity>;
