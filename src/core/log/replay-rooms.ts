import type { Store } from '../../database/store.ts';
import type { RoomId } from '../ids.ts';
import { type Change, UnknownChangeKindError } from './change.ts';
import { toChange } from './change-kinds.ts';
import { type MessageRow, toMessageChange } from './message-row.ts';
import { type ChangeRow, type EntryRow, listNamedSeqs, sortByRev, toEntryChanges } from './replay.ts';
import { statements } from './room-log-statements.ts';

/** `to` is at most 1,000 revs after `from`. */
export interface RoomRange {
  room_id: RoomId;
  from: number;
  to: number;
}

type InRoom<Row> = Row & { room_id: RoomId };

/**
 * Replays ranges of the logs of several rooms with a fixed number of statements. In place of the changes, a room has an
 * `UnknownChangeKindError` if this version does not know one of them.
 */
export async function replayRooms(
  store: Pick<Store, 'query'>,
  ranges: readonly RoomRange[],
): Promise<Map<RoomId, Change[] | UnknownChangeKindError>> {
  const bounds = [ranges.map(({ room_id }) => room_id), ranges.map(({ from }) => from), ranges.map(({ to }) => to)];
  const [messageRows, changeRows, entryRows] = await Promise.all([
    store.query<MessageRow>(statements.roomMessages, bounds),
    store.query<InRoom<ChangeRow>>(statements.roomChanges, bounds),
    store.query<InRoom<EntryRow>>(statements.roomEntries, bounds),
  ]);
  const messages = Map.groupBy(messageRows, ({ room_id }) => room_id);
  const changes = Map.groupBy(changeRows, ({ room_id }) => room_id);
  const entries = Map.groupBy(entryRows, ({ room_id }) => room_id);
  const given = (room: RoomId) => new Set((messages.get(room) ?? []).map(({ seq }) => seq));

  const errors = new Map<RoomId, UnknownChangeKindError>();
  function catchUnknown<T>(room: RoomId, otherwise: T, convert: () => T): T {
    try {
      return convert();
    } catch (error) {
      if (!(error instanceof UnknownChangeKindError)) throw error;
      errors.set(room, error);
      return otherwise;
    }
  }

  const wanted = [...entries].flatMap(([room, rows]) =>
    catchUnknown(room, [], () => listNamedSeqs(room, rows, given(room)).map((seq) => ({ room, seq }))),
  );
  const namedRows =
    wanted.length === 0
      ? []
      : await store.query<MessageRow>(statements.roomMessagesBySeq, [
          wanted.map(({ room }) => room),
          wanted.map(({ seq }) => seq),
        ]);
  const named = Map.groupBy(namedRows, ({ room_id }) => room_id);

  const replays = ranges.map(({ room_id }): [RoomId, Change[] | UnknownChangeKindError] => {
    const replayed = catchUnknown(room_id, [], () =>
      sortByRev([
        ...(messages.get(room_id) ?? []).map(toMessageChange),
        ...(changes.get(room_id) ?? []).map((row) => toChange(row)),
        ...toEntryChanges(room_id, entries.get(room_id) ?? [], named.get(room_id) ?? [], given(room_id)),
      ]),
    );
    return [room_id, errors.get(room_id) ?? replayed];
  });
  return new Map(replays);
}
