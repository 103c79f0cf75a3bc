import { defineEntity, type InferEntity, p } from '@mikro-orm/core';
import { RoomEntity } from './room.entity.ts';

/**
 * A room has at most one rule for each grantee. Clients know `grantee` as `entity_UUID`. There is no foreign key, because the
 * rules of a deleted room are removed after it.
 */
export const PermissionRuleEntity = defineEntity({
  name: 'PermissionRule',
  tableName: 'permission_rules',
  indexes: [{ properties: ['grantee'], name: 'permission_rules_grantee_index' }],
  properties: {
    room: () => p.manyToOne(RoomEntity).primary().createForeignKeyConstraint(false),
    grantee: p.uuid().primary(),
    kind: p.string().length(8).$type<'user' | 'entity' | 'any'>(),
    permissions: p.string().length(4),
    level: p.integer(),
    accepted: p.boolean().nullable(),
    /** The room's `lastSeq` when the rule was made; null if an earlier version made it. */
    fromSeq: p.bigint('number').nullable(),
    createdAt: p.datetime(3),
    updatedAt: p.datetime(3),
  },
});
export type PermissionRuleEntity = InferEntity<typeof PermissionRuleEntity>;
