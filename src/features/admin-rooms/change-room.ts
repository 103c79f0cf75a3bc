import { toAuditFields } from '../../core/audit.ts';
import { service } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomRef } from '../../core/ids.ts';
import { type RoomTransaction, withLockedRoom } from '../../core/log/room-transaction.ts';
import type { Room } from '../../core/room.ts';
import type { AppContext } from '../app-context.ts';
import { applySettings } from '../rooms/apply-settings.ts';
import type { ChangeRoom } from '../rooms/contract.ts';
import { assertRuleLimit } from '../rooms/rule-limit.ts';
import type { AdminRoom } from './contract.ts';
import { readKey } from './read-room.ts';

export async function changeAdminRoom(context: AppContext, ref: RoomRef, input: ChangeRoom): Promise<AdminRoom> {
  const snapshot = await context.log.snapshot(ref);
  if (!snapshot) throw new ChatError('NOT_FOUND');
  const room = await changeForService(context, ref, snapshot.room, input);
  return { ...room, key: await readKey(context, room.id) };
}

/** Changes the room for the backend. `current` is the room as it was read without a lock. */
export async function changeForService(
  context: AppContext,
  ref: RoomRef,
  current: Room,
  input: Partial<ChangeRoom>,
): Promise<Room> {
  if (input.max_entity_rules !== undefined) assertRuleLimit(context, input.max_entity_rules);
  // A backend often repeats what it has set before; that needs no lock.
  if (!differs(current, input)) return current;
  const { room, audit } = await withLockedRoom(context, service, ref, (room) => applyForService(context, room, input));
  audit();
  return room;
}

/** Call `audit` after the commit. */
export async function applyForService(context: AppContext, room: RoomTransaction, input: Partial<ChangeRoom>) {
  const { changed, previousLevel: from } = await applySettings(room, input, () => {});
  const { id, level_admin: to } = changed;
  const audit = () => {
    if (to !== from) context.audit('level_admin changed', { ...toAuditFields(id, service), from, to });
  };
  return { room: changed, audit };
}

function differs(room: Room, { custom, ...input }: Partial<ChangeRoom>): boolean {
  if (custom !== undefined && JSON.stringify(custom) !== JSON.stringify(room.custom ?? null)) return true;
  const { receipts = false, readers_react = false } = room;
  const present = { ...room, receipts, readers_react };
  return (['name', 'level_admin', 'max_entity_rules', 'receipts', 'readers_react'] as const).some(
    (field) => input[field] !== undefined && input[field] !== present[field],
  );
}
