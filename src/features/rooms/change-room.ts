import { toAuditFields } from '../../core/audit.ts';
import type { Actor } from '../../core/authorization.ts';
import type { RoomRef } from '../../core/ids.ts';
import { withLockedRoom } from '../../core/log/room-transaction.ts';
import type { Room } from '../../core/room.ts';
import { type AppContext, assertAllowed, findRoom } from '../app-context.ts';
import { applySettings } from './apply-settings.ts';
import type { ChangeRoom } from './contract.ts';
import { assertRuleLimit } from './rule-limit.ts';

export async function changeRoom(context: AppContext, actor: Actor, ref: RoomRef, input: ChangeRoom): Promise<Room> {
  const current = await findRoom(context, actor, ref);
  assertAllowed(actor, current, { name: 'rename' });
  const { name, level_admin, max_entity_rules } = { ...current.room, ...input };
  const changesLevel = level_admin !== current.room.level_admin;
  const changesRules = max_entity_rules !== current.room.max_entity_rules;
  if (changesLevel) assertAllowed(actor, current, { name: 'change level_admin', to: level_admin });
  if (changesRules) assertAllowed(actor, current, { name: 'change max_entity_rules' });
  const changesSettings = (['custom', 'receipts', 'readers_react'] as const).some((key) => input[key] !== undefined);
  if (!changesLevel && !changesRules && !changesSettings && name === current.room.name) return current.room;
  const { changed, previousLevel } = await withLockedRoom(context, actor, ref, (room) => {
    room.assertAllowed(actor, { name: 'rename' });
    return applySettings(room, input, async (next) => {
      const { levelAdmin, maxEntityRules } = room.entity;
      if (next.levelAdmin !== levelAdmin)
        room.assertAllowed(actor, { name: 'change level_admin', to: next.levelAdmin });
      if (next.maxEntityRules === maxEntityRules) return;
      room.assertAllowed(actor, { name: 'change max_entity_rules' });
      assertRuleLimit(context, next.maxEntityRules, await room.countRules());
    });
  });
  const { id, level_admin: to } = changed;
  if (to !== previousLevel)
    context.audit('level_admin changed', { ...toAuditFields(id, actor), from: previousLevel, to });
  return changed;
}
