import { toAuditFields } from '../../core/audit.ts';
import type { Actor, Author } from '../../core/authorization.ts';
import type { RoomRef } from '../../core/ids.ts';
import { RoomEntity } from '../../core/log/room.entity.ts';
import { type RoomTransaction, withLockedRoom } from '../../core/log/room-transaction.ts';
import { type AppContext, assertAllowed, findRoom } from '../app-context.ts';

export async function deleteRoom(context: AppContext, actor: Actor, ref: RoomRef): Promise<void> {
  assertAllowed(actor, await findRoom(context, actor, ref), { name: 'delete' });
  await removeRoom(context, actor, ref, (room) => room.assertAllowed(actor, { name: 'delete' }));
}

/**
 * Deletes the room, and removes its subscribers on all nodes. Its rules and messages are gone for everybody; their rows are
 * removed afterwards. `check` may refuse it while the room is locked.
 */
export async function removeRoom(
  context: AppContext,
  author: Author,
  ref: RoomRef,
  check: (room: RoomTransaction) => void = () => {},
): Promise<void> {
  const id = await withLockedRoom(context, author, ref, async (room) => {
    check(room);
    await room.em.nativeDelete(RoomEntity, { id: room.entity.id });
    return room.entity.id;
  });
  context.rights.invalidate(id);
  context.bus.publish({ kind: 'deleted', room_id: id });
  context.audit('room deleted', toAuditFields(id, author));
  context.rowRemoval.wake();
}
