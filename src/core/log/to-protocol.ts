import type { RoomOwnership, Rule } from '../authorization.ts';
import type { RoomId } from '../ids.ts';
import type { PermissionRule, Room } from '../room.ts';
import { toAnswerFields } from './change-kinds.ts';
import type { PermissionRuleEntity } from './permission-rule.entity.ts';
import type { RoomEntity } from './room.entity.ts';
import { toRoomSettings } from './room-row.ts';
import type { RuleSnapshot } from './room-snapshot.ts';

/** `custom` is the JSON that is stored with the room, as text. */
export function toRoom(room: RoomEntity, custom: string | null): Room {
  return {
    id: room.id,
    uuid: room.uuid,
    name: room.name,
    type: room.type,
    level_admin: room.levelAdmin,
    user_owner: room.userOwner,
    entity_owner: room.entityOwner ?? null,
    max_entity_rules: room.maxEntityRules,
    last_seq: room.lastSeq,
    ...toRoomSettings({
      ...{ type: room.type, receipts: room.receipts ?? null, readers_react: room.readersReact ?? null, custom },
    }),
    createdAt: room.createdAt.toISOString(),
    updatedAt: room.updatedAt.toISOString(),
  };
}

export function toRoomOwnership(room: RoomEntity): RoomOwnership {
  const { type, userOwner: user_owner, levelAdmin: level_admin } = room;
  return { type, user_owner, entity_owner: room.entityOwner ?? null, level_admin };
}

export function toRule({ grantee, kind, permissions, level, accepted }: PermissionRuleEntity): Rule {
  return { entity_UUID: grantee, kind, permissions, level, accepted: accepted ?? null };
}

export function toPermissionRule(room_id: RoomId, rule: RuleSnapshot): PermissionRule {
  const { entity_UUID, kind, permissions, level, createdAt, updatedAt } = rule;
  return { room_id, entity_UUID, kind, permissions, level, ...toAnswerFields(rule.accepted), createdAt, updatedAt };
}

export function entityToPermissionRule(rule: PermissionRuleEntity): PermissionRule {
  const { createdAt, updatedAt } = rule;
  const timestamps = { createdAt: createdAt.toISOString(), updatedAt: updatedAt.toISOString() };
  return toPermissionRule(rule.room.id, { ...toRule(rule), ...timestamps });
}
