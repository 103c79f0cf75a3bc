import { defineEntity, p } from '@mikro-orm/core';

// SQL functions read and write these tables. The entities exist so that MikroORM can compare the tables with the
// migrations. The tables have no foreign keys, because these would lock the row of the room; the rows are removed
// after the room was deleted.

const roomId = () => p.bigint('number').primary();

/**
 * The data that the app stores with a room. It is not a column of `rooms`, because each send updates that row and would
 * copy the data.
 */
const RoomCustomEntity = defineEntity({
  name: 'RoomCustom',
  tableName: 'room_custom',
  properties: { roomId: roomId().autoincrement(false), custom: p.text() },
});

/** Entries of the log that record a change of a message: edits (kind 1), deletions (2) and reactions (3). */
const LogEntryEntity = defineEntity({
  name: 'LogEntry',
  tableName: 'log_entries',
  indexes: [{ properties: ['roomId', 'seq'], name: 'log_entries_changes_index', where: 'changes is not null' }],
  properties: {
    roomId: roomId(),
    rev: p.bigint('number').primary(),
    kind: p.smallint(),
    seq: p.bigint('number'),
    actor: p.uuid(),
    /** The reactions that were added and removed, as JSON. Null after the message was deleted. */
    changes: p.text().nullable(),
    at: p.datetime(3),
  },
});

const ReactionEntity = defineEntity({
  name: 'Reaction',
  tableName: 'reactions',
  properties: {
    roomId: roomId(),
    seq: p.bigint('number').primary(),
    emoji: p.text().primary(),
    userUuid: p.uuid().primary(),
    rev: p.bigint('number'),
  },
});

/**
 * Counts the reactions to each message. Without it, counting the rows of `reactions` would read a thousand times as
 * many pages.
 */
const ReactionCountEntity = defineEntity({
  name: 'ReactionCount',
  tableName: 'reaction_counts',
  properties: {
    roomId: roomId(),
    seq: p.bigint('number').primary(),
    emoji: p.text().primary(),
    count: p.integer(),
    /** The entry of the log in which the emoji first appeared, and its position within that entry. */
    firstRev: p.bigint('number'),
    firstN: p.smallint(),
  },
});

const ThreadEntity = defineEntity({
  name: 'Thread',
  tableName: 'threads',
  properties: {
    roomId: roomId(),
    root: p.bigint('number').primary(),
    /** Deleted replies do not count. */
    count: p.integer(),
    lastSeq: p.bigint('number'),
  },
});

const ThreadMessageEntity = defineEntity({
  name: 'ThreadMessage',
  tableName: 'thread_messages',
  properties: { roomId: roomId(), root: p.bigint('number').primary(), seq: p.bigint('number').primary() },
});

/** If a message mentions everybody in the room, `grantee` is the nil UUID. */
const MentionEntity = defineEntity({
  name: 'Mention',
  tableName: 'mentions',
  properties: { roomId: roomId(), grantee: p.uuid().primary(), seq: p.bigint('number').primary() },
});

export const conversationTables = [
  RoomCustomEntity,
  LogEntryEntity,
  ReactionEntity,
  ReactionCountEntity,
  ThreadEntity,
  ThreadMessageEntity,
  MentionEntity,
];
