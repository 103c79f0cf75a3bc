import { defineEntity, type InferEntity, p } from '@mikro-orm/core';
import type { Uuid } from '../core/ids.ts';

/** A legacy rule as it was at the last import. */
export interface ImportedRule {
  permissions: string;
  level: number;
  accepted: boolean;
}

/**
 * A room that `npm run import` has imported, and how far its import has come. The table has no foreign key to `rooms`:
 * if an imported room is deleted, its row in this table remains, so that a later import does not restore the room.
 */
export const ImportedRoomEntity = defineEntity({
  name: 'ImportedRoom',
  tableName: 'imported_rooms',
  properties: {
    roomId: p.bigint('number').primary().autoincrement(false),
    /**
     * The UUID of the legacy room. If a later import finds another UUID for the same id, the room comes from another
     * legacy database, and the import fails.
     */
    uuid: p.uuid(),
    /** The highest message id that the legacy service had in this room at the last import. */
    lastMessageId: p.bigint('number'),
    /** The number of messages that the legacy service had in this room at the last import. */
    seenMessages: p.bigint('number'),
    /** The number of messages that imports have skipped, because they could not be imported. */
    leftOut: p.bigint('number'),
    rules: p.json<Record<Uuid, ImportedRule>>(),
    importedAt: p.datetime(3),
  },
});
export type ImportedRoomEntity = InferEntity<typeof ImportedRoomEntity>;
