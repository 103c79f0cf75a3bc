import { toAuditFields } from '../../core/audit.ts';
import type { Actor } from '../../core/authorization.ts';
import type { RoomRef } from '../../core/ids.ts';
import { RoomEntity } from '../../core/log/room.entity.ts';
import { withLockedRoom } from '../../core/log/room-transaction.ts';
import { type AppContext, assertAllowed, findRoom } from '../app-context.ts';

/** Deletes the room with its rules and messages, and removes its subscribers on all nodes. */
export async function deleteRoom(context: AppContext, actor: Actor, ref: RoomRef): Promise<void> {
  assertAllowed(actor, await findRoom(context, actor, ref), { name: 'delete' });
  const id = await withLockedRoom(context, actor, ref, async (room) => {
    room.assertAllowed(actor, { name: 'delete' });
    await room.em.nativeDelete(RoomEntity, { id: room.entity.id });
    return room.entity.id;
  });
  context.rights.invalidate(id);
  context.bus.publish({ kind: 'deleted', room_id: id });
  context.audit('room deleted', toAuditFields(id, actor));
}
