import { LRUCache } from 'lru-cache';
import type { RoomId, Uuid } from '../../core/ids.ts';
import type { Statement, Store } from '../../database/store.ts';
import { type ItemRow, type Reader, RoomReading } from './room-reading.ts';

const itemsStatement: Statement = {
  name: 'inbox_items',
  text: `select o_room as room from inbox_items($1::bigint[], $2::bigint[], $3::bigint[], $4::int[], $5::int[],
    $6::uuid[], $7::uuid[], $8::bigint[])`,
};

/** Enough for all rooms with a crowd that the default budget of items allows in a second. */
const maxCrowds = 500;
/** If a room has had more readers, many of whom may be gone, its next reading does not build on the previous one. */
const maxReadersOfCrowd = 20_000;

/**
 * The last readings of rooms that many open inboxes show. The statement checks them, so that a reading which builds on
 * one of them is as exact as a new one.
 */
export type Crowds = LRUCache<RoomId, RoomReading>;

export const createCrowds = (): Crowds => new LRUCache({ max: maxCrowds });

/**
 * Reads all rooms in one statement, so nothing in the result is newer than the rules in it. The result has no entry for
 * rooms that do not exist. Calls with the same `crowds` must not overlap.
 */
export async function readItems(
  store: Pick<Store, 'query'>,
  wanted: ReadonlyMap<RoomId, readonly Reader[]>,
  crowds?: Crowds,
): Promise<Map<RoomId, RoomReading>> {
  const columns = {
    seqs: [] as (number | null)[],
    stamps: [] as (number | null)[],
    from: [] as number[],
    to: [] as number[],
    users: [] as Uuid[],
    entities: [] as (Uuid | null)[],
    versions: [] as (number | null)[],
  };
  const readersByRoom = new Map<RoomId, Reader[]>();
  for (const [room, all] of wanted) {
    const readers = [...new Map(all.map((reader) => [reader.user, reader])).values()];
    readersByRoom.set(room, readers);
    const known = crowds?.get(room);
    columns.seqs.push(known?.lastSeq ?? null);
    columns.stamps.push(known?.stamp ?? null);
    columns.from.push(columns.users.length + 1);
    for (const reader of readers) {
      columns.users.push(reader.user);
      columns.entities.push(reader.entity);
      columns.versions.push(known?.getVersion(reader) ?? null);
    }
    columns.to.push(columns.users.length);
  }
  const { seqs, stamps, from, to, users, entities, versions } = columns;
  const values = [[...wanted.keys()], seqs, stamps, from, to, users, entities, versions];
  const rows = await store.query<{ room: ItemRow }>(itemsStatement, values);
  const readings = new Map<RoomId, RoomReading>();
  for (const { room: row } of rows) {
    const readers = readersByRoom.get(row.id)!;
    const known = row.since === null ? undefined : crowds?.get(row.id);
    known?.update(row, readers);
    const reading = known ?? new RoomReading(row, readers);
    readings.set(row.id, reading);
    if (reading.isCrowd && reading.size <= maxReadersOfCrowd) crowds?.set(row.id, reading);
    else crowds?.delete(row.id);
  }
  return readings;
}
