import { createHash } from 'node:crypto';
import { Uuid } from '../core/ids.ts';
import type { RoomType } from '../core/room.ts';
import { orderPair } from '../features/rooms/pairs.ts';
import { type ConvertedRule, grantsAdmin, isBan, type NewRule, toTimestamps } from './convert-rules.ts';
import type { LegacyRoom } from './legacy-database.ts';
import type { Findings } from './report.ts';

/** A row of `rooms` in this service, with the rules of the room. */
export interface NewRoom {
  id: number;
  uuid: Uuid;
  name: string;
  type: RoomType;
  level_admin: number;
  user_owner: Uuid;
  user_owner_entity: Uuid | null;
  entity_owner: Uuid | null;
  pair: { pairLow: Uuid; pairHigh: Uuid } | null;
  max_entity_rules: number;
  created: number;
  updated: number;
  rules: NewRule[];
}

/** Stands for an unknown user. The import gives this UUID no rules, so it has no rights. */
export const nobody: Uuid = '00000000-0000-0000-0000-000000000000';

/**
 * The kind of room that a legacy room becomes. `pair` is a user2user room. `private` is a group that replaces a legacy
 * user2user room which is impossible in this service, for example because it has three users. Unlike other groups, it
 * does not belong to the organisation.
 */
export type RoomShape = 'group' | 'private' | 'pair';

const int32 = 2_147_483_647;
const defaultAdminLevel = 100;
const defaultMaxRules = 10;
const maxNameLength = 255;

/** The namespace of derived UUIDs (RFC 9562, version 5). The value is random, but must never change. */
const namespace = Buffer.from('7a1d2b8e5f0c4c3fb64e9d21c8a7e305', 'hex');

/** Returns the UUID of a legacy room. A room without a valid UUID gets a derived UUID, the same at every import. */
export function toRoomUuid({ id, uuid, created }: LegacyRoom): Uuid {
  return Uuid.safeParse(uuid).data ?? deriveUuid({ id, created });
}

export function deriveUuid({ id, created }: Pick<LegacyRoom, 'id' | 'created'>): Uuid {
  const hash = createHash('sha1').update(namespace).update(`room ${id} of ${created}`).digest().subarray(0, 16);
  hash[6] = (hash[6]! & 0x0f) | 0x50;
  hash[8] = (hash[8]! & 0x3f) | 0x80;
  return hash.toString('hex').replace(/(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/**
 * Finds the user who created a legacy room. Some forks of the legacy service store this user with the room. Otherwise it
 * is the grantee of the oldest administrator rule, because the legacy service created this rule together with the room.
 */
export function findOwner({ user_owner }: LegacyRoom, rules: readonly ConvertedRule[]): Uuid {
  return Uuid.safeParse(user_owner).data ?? rules.find(grantsAdmin)?.grantee ?? nobody;
}

/** Returns the two users of a user2user room. Returns undefined if the room does not have exactly two users. */
export function findPair(room: LegacyRoom, owner: Uuid, rules: readonly ConvertedRule[]): [Uuid, Uuid] | undefined {
  const [one, other, ...more] = listUsers(room, owner, rules);
  return one && other && more.length === 0 ? [one.grantee, other.grantee] : undefined;
}

/**
 * Returns the rules of users. Leaves out the rule of the organisation, which the legacy service created in every room.
 */
function listUsers({ entity_owner }: LegacyRoom, owner: Uuid, rules: readonly ConvertedRule[]): ConvertedRule[] {
  const organisation = Uuid.safeParse(entity_owner).data;
  return rules.filter(({ grantee }) => grantee === owner || grantee !== organisation);
}

/** Set `hasRoom` if the two users of the room already have another user2user room. */
export function findShape(room: LegacyRoom, owner: Uuid, rules: readonly ConvertedRule[], hasRoom: boolean): RoomShape {
  if (room.type !== 'user2user') return 'group';
  const users = listUsers(room, owner, rules);
  const isAmong = users.length === 0 || users.some(({ grantee }) => grantee === owner);
  // If the owner is known, they must be one of the two users. The second user may be missing: the owner can add them.
  const isPair = owner === nobody ? users.length === 2 : users.length <= 2 && isAmong;
  return isPair && !users.some(isBan) && !hasRoom ? 'pair' : 'private';
}

/**
 * Adapts the converted rules to the shape of the room: sets the `kind` of each rule, and drops the rule of the
 * organisation unless the room is a group.
 */
export function fitRules(
  shape: RoomShape,
  room: LegacyRoom,
  owner: Uuid,
  rules: readonly ConvertedRule[],
  findings: Findings,
): NewRule[] {
  const organisation = Uuid.safeParse(room.entity_owner).data;
  if (shape === 'group') {
    const chooseKind = (grantee: Uuid) => {
      if (grantee === organisation) return grantee === owner ? 'any' : 'entity';
      return grantee === owner ? 'user' : 'any';
    };
    return rules.map((rule) => ({ ...rule, kind: chooseKind(rule.grantee) }));
  }
  const users = listUsers(room, owner, rules);
  if (users.length < rules.length) findings.add('rule_organisation', `room ${room.id}, ${organisation}`);
  return users.map((rule) => ({ ...rule, kind: 'user' }));
}

interface RoomInput {
  shape: RoomShape;
  uuid: Uuid;
  owner: Uuid;
  rules: readonly ConvertedRule[];
  now: number;
}

export function convertRoom(
  room: LegacyRoom,
  { shape, uuid, owner, rules: convertedRules, now }: RoomInput,
  findings: Findings,
): NewRoom {
  const name = `room ${room.id}`;
  const rules = fitRules(shape, room, owner, convertedRules, findings);
  const timestamps = toTimestamps(room, now, now);
  if (owner === nobody) findings.add('room_owner', name);
  if (owner !== nobody && !rules.some(grantsAdmin) && !rules.some(({ grantee }) => grantee === owner)) {
    findings.add('room_owner_rule', `${name}, ${owner}`);
    const { created } = timestamps;
    rules.push({
      grantee: owner,
      kind: 'user',
      permissions: 'rwa',
      level: 0,
      accepted: true,
      created,
      updated: created,
    });
  }
  const organisation = Uuid.safeParse(room.entity_owner).data ?? null;
  const entity_owner = shape === 'group' ? organisation : null;
  if (entity_owner === null && rules.every(isBan)) findings.add('room_closed', name);
  if (uuid !== Uuid.safeParse(room.uuid).data) findings.add('room_uuid', `${name}: ${uuid}`);
  if (!['group', 'user2user', null].includes(room.type)) findings.add('room_type', `${name}: ${room.type}`);
  const [one, other] = rules;
  return {
    ...{ id: room.id, uuid, name: convertName(room, findings), type: shape === 'pair' ? 'user2user' : 'group' },
    level_admin: convertLevel(room, findings),
    ...{ user_owner: owner, user_owner_entity: organisation, entity_owner },
    pair: shape === 'pair' && one && other ? orderPair(one.grantee, other.grantee) : null,
    max_entity_rules: convertMaxRules(room, rules, findings),
    ...{ ...timestamps, rules },
  };
}

function convertName({ id, name }: LegacyRoom, findings: Findings): string {
  const letters = [...(name ?? '')];
  if (letters.length > 0 && letters.length <= maxNameLength) return name!;
  findings.add('room_name', `room ${id}`);
  return letters.slice(0, maxNameLength).join('') || `Room ${id}`;
}

function convertLevel({ id, level_admin }: LegacyRoom, findings: Findings): number {
  const level = level_admin ?? defaultAdminLevel;
  if (Number.isInteger(level) && level >= 0 && level <= int32) return level;
  findings.add('room_level', `room ${id}: ${level}`);
  return level < 0 ? 0 : defaultAdminLevel;
}

function convertMaxRules({ id, max_entity_rules }: LegacyRoom, rules: readonly NewRule[], findings: Findings): number {
  const max = max_entity_rules !== null && max_entity_rules >= 1 ? Math.floor(max_entity_rules) : defaultMaxRules;
  if (rules.length > max) findings.add('room_rules', `room ${id}: ${rules.length}`);
  return Math.min(Math.max(max, rules.length), int32);
}
