import { type Actor, can, type service } from '../../core/authorization.ts';
import { formatCursor } from '../../core/cursor.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomId, RoomRef } from '../../core/ids.ts';
import { type AppContext, resolveRoomId } from '../app-context.ts';
import type { AppliedOperation, WriteRequest } from './send-request.ts';

/** Throws `UNAVAILABLE` while the node drains. */
export function assertAcceptsWrites({ isDraining }: Pick<AppContext, 'isDraining'>): void {
  if (isDraining) throw new ChatError('UNAVAILABLE', { message: 'The server is shutting down, reconnect and retry' });
}

/** Writes an edit, a deletion or a reaction to the log. */
export async function write(
  context: AppContext,
  actor: Actor | typeof service,
  ref: RoomRef,
  operation: WriteRequest['operation'],
): Promise<AppliedOperation & { cursor: string }> {
  assertAcceptsWrites(context);
  const room_id = await resolveRoomId(context, ref);
  const result = await context.queue.apply({ actor, room_id, operation });
  return { ...result, cursor: formatCursor({ room_id, ...result }) };
}

/** Whether the actor administers the room, according to cached rules. */
export async function administers({ rights }: AppContext, actor: Actor, room: RoomId): Promise<boolean> {
  const roomRights = (await rights.load([room])).get(room);
  if (!roomRights) throw new ChatError('NOT_FOUND');
  return can(roomRights.decide(actor), 'administer');
}
