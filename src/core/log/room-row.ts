import { ms } from '../../database/epoch-ms.ts';
import type { Uuid } from '../ids.ts';
import type { Room } from '../room.ts';
import { formatTimestamp } from '../timestamp.ts';
import type { Grant } from './change.ts';
import type { CustomData } from './message.ts';
import type { RoomSnapshot, RuleSnapshot } from './room-snapshot.ts';

export const roomColumns = `r.id::float8 as id, r.uuid::text as uuid, r.name, r.type, r.level_admin::float8 as level_admin,
  r.user_owner::text as user_owner, r.entity_owner::text as entity_owner, r.max_entity_rules::float8 as max_entity_rules,
  r.last_seq::float8 as last_seq, r.last_rev::float8 as last_rev, r.rights_rev::float8 as rights_rev,
  ${ms('r.last_change_at')} as changed, ${ms('r.created_at')} as created, ${ms('r.updated_at')} as updated,
  r.receipts, r.readers_react, (select c.custom from room_custom c where c.room_id = r.id) as custom`;

export const ruleJson = `json_build_object('entity_UUID', p.grantee, 'kind', p.kind, 'permissions', p.permissions, 'level', p.level,
  'accepted', p.accepted, 'created', ${ms('p.created_at')}, 'updated', ${ms('p.updated_at')})`;

export interface RoomRow {
  id: number;
  uuid: Uuid;
  name: string;
  type: Room['type'];
  level_admin: number;
  user_owner: Uuid;
  entity_owner: Uuid | null;
  max_entity_rules: number;
  last_seq: number;
  last_rev: number;
  rights_rev: number;
  changed: number;
  created: number;
  updated: number;
  /** Null means the default of the room's type. */
  receipts: boolean | null;
  readers_react: boolean | null;
  /** JSON as text. */
  custom: string | null;
  rules: (Grant & { permissions: string; created: number; updated: number })[];
}

type RoomSettings = Pick<RoomRow, 'type' | 'receipts' | 'readers_react' | 'custom'>;

/** The fields of a room that are left out unless they are set. */
export function toRoomSettings({ type, receipts, readers_react, custom }: RoomSettings) {
  return {
    ...(custom !== null && { custom: JSON.parse(custom) as CustomData }),
    ...((receipts ?? type === 'user2user') && ({ receipts: true } as const)),
    ...(readers_react && ({ readers_react: true } as const)),
  };
}

export function toRoomOfRow(row: Omit<RoomRow, 'last_rev' | 'rights_rev' | 'changed' | 'rules'>): Room {
  const { id, uuid, name, type, level_admin, user_owner, entity_owner, max_entity_rules, last_seq } = row;
  return {
    ...{ id, uuid, name, type, level_admin, user_owner, entity_owner, max_entity_rules, last_seq },
    ...toRoomSettings(row),
    createdAt: formatTimestamp(row.created),
    updatedAt: formatTimestamp(row.updated),
  };
}

export function toSnapshot(row: RoomRow): RoomSnapshot {
  return toSnapshotWithRules(row, row.rules.map(toRuleSnapshot));
}

export function toRuleSnapshot({ created, updated, ...rule }: RoomRow['rules'][number]): RuleSnapshot {
  return { ...rule, createdAt: formatTimestamp(created), updatedAt: formatTimestamp(updated) };
}

export function toSnapshotWithRules(row: Omit<RoomRow, 'rules'>, rules: RuleSnapshot[]): RoomSnapshot {
  const { id } = row;
  return {
    room: toRoomOfRow(row),
    rules,
    head: { room_id: id, rev: row.last_rev, at: row.changed },
    start: { room_id: id, rev: 0, at: row.created },
    rightsRev: row.rights_rev,
  };
}
