import type { Actor } from '../../core/authorization.ts';
import type { InboxPosition, RoomListItem } from '../../core/inbox-item.ts';
import type { AppContext } from '../app-context.ts';
import type { RoomListQuery } from './contract.ts';
import { toListItem } from './list-item.ts';

const maxChunkSize = 1_000;
/** Rooms that are read in addition to the requested number, because `toListItem` filters some out. */
const spareRooms = 10;

/**
 * Lists the rooms that the actor can enter, latest activity first, each with the rule that lets them in. The database
 * returns candidates in chunks: rooms with a rule for the actor, and rooms that they administer as owner. `toListItem`
 * then selects the rooms that the actor can enter.
 */
export function listRooms(context: AppContext, actor: Actor, query: RoomListQuery): Promise<RoomListItem[]> {
  return context.concurrentReads.run(actor.user, () => readList(context, actor, query));
}

async function readList({ log }: AppContext, actor: Actor, query: RoomListQuery): Promise<RoomListItem[]> {
  const itemCount = query.offset + query.limit;
  const items: RoomListItem[] = [];
  let before: InboxPosition | undefined;
  let chunkSize = query.accepted === undefined ? Math.min(maxChunkSize, itemCount + spareRooms) : maxChunkSize;
  while (items.length < itemCount) {
    const snapshots = await log.listRooms(actor.user, actor.entity, actor.level, before, chunkSize);
    for (const snapshot of snapshots) {
      const item = toListItem(snapshot, actor, query.accepted);
      if (item) items.push(item);
    }
    if (snapshots.length < chunkSize) break;
    const last = snapshots.at(-1)!;
    before = { room_id: last.room.id, at: last.activityAt };
    chunkSize = maxChunkSize;
  }
  return items.slice(query.offset, itemCount);
}
