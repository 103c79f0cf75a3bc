import { defineEntity, type InferEntity, p } from '@mikro-orm/core';
import type { Uuid } from '../core/ids.ts';

/** What a legacy rule granted at the time of the last import. */
export interface SeenRule {
  permissions: string;
  level: number;
  accepted: boolean;
}

/**
 * The rooms that `npm run import` has imported, and how far the import of each has progressed. The table has no foreign
 * key to `rooms`: if an imported room is deleted, its row here remains, so that a later import does not restore the
 * room.
 */
export const ImportedRoomEntity = defineEntity({
  name: 'ImportedRoom',
  tableName: 'imported_rooms',
  properties: {
    roomId: p.bigint('number').primary().autoincrement(false),
    /** The UUID of the legacy room. It reveals a room of another legacy database that has the same id. */
    uuid: p.uuid(),
    /**
     * The highest message id that an import has read in this room. `seenMessages` is the number of messages that were
     * read.
     */
    lastMessageId: p.bigint('number'),
    seenMessages: p.bigint('number'),
    /** The number of messages that were skipped. */
    leftOut: p.bigint('number'),
    rules: p.json<Record<Uuid, SeenRule>>(),
    importedAt: p.datetime(3),
  },
});
export type ImportedRoomEntity = InferEntity<typeof ImportedRoomEntity>;
