import { defineEntity, type InferEntity, p } from '@mikro-orm/core';
import type { Uuid } from '../core/ids.ts';

/** The grant of a legacy rule at the last import. */
export interface SeenRule {
  permissions: string;
  level: number;
  accepted: boolean;
}

/**
 * The rooms of `npm run import`, and the progress of the import in each. There is no foreign key: the mark of a room that
 * was deleted here remains, so that no later import restores the room.
 */
export const ImportedRoomEntity = defineEntity({
  name: 'ImportedRoom',
  tableName: 'imported_rooms',
  properties: {
    roomId: p.bigint('number').primary().autoincrement(false),
    /** The UUID of the legacy room, which distinguishes it from a room of another database with the same id. */
    uuid: p.uuid(),
    /** The highest id among the messages that were seen, and their number. */
    lastMessageId: p.bigint('number'),
    seenMessages: p.bigint('number'),
    /** The number of messages that were skipped. */
    leftOut: p.bigint('number'),
    rules: p.json<Record<Uuid, SeenRule>>(),
    importedAt: p.datetime(3),
  },
});
export type ImportedRoomEntity = InferEntity<typeof ImportedRoomEntity>;
