import type { Actor } from '../../core/authorization.ts';
import type { RoomRef } from '../../core/ids.ts';
import type { Room } from '../../core/room.ts';
import { type AppContext, requireRoom } from '../app-context.ts';

export async function readRoom(
  context: AppContext,
  actor: Actor,
  ref: RoomRef,
): Promise<{ room: Room; rights: string }> {
  const { room, decision } = await requireRoom(context, actor, 'enter', ref);
  return { room, rights: decision.rights };
}
