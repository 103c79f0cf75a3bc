import { ChatError } from '../../core/errors.ts';
import type { RoomId, RoomRef } from '../../core/ids.ts';
import { toPermissionRule } from '../../core/log/to-protocol.ts';
import type { PermissionRule } from '../../core/room.ts';
import type { Statement } from '../../database/store.ts';
import type { AppContext } from '../app-context.ts';
import type { AdminRoom } from './contract.ts';

const keyStatement: Statement = { name: 'key_of_room', text: 'select key from room_keys where room_id = $1::bigint' };

export async function readKey({ store }: Pick<AppContext, 'store'>, room: RoomId): Promise<string | null> {
  const [row] = await store.query<{ key: string }>(keyStatement, [room]);
  return row?.key ?? null;
}

export async function readAdminRoom(
  context: AppContext,
  ref: RoomRef,
): Promise<{ room: AdminRoom; rules: PermissionRule[] }> {
  const snapshot = await context.log.snapshot(ref);
  if (!snapshot) throw new ChatError('NOT_FOUND');
  const { room, rules } = snapshot;
  const key = await readKey(context, room.id);
  return { room: { ...room, key }, rules: rules.map((rule) => toPermissionRule(room.id, rule)) };
}
