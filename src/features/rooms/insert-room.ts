import { randomUUID } from 'node:crypto';
import type { Rule } from '../../core/authorization.ts';
import { nilUuid, type Uuid } from '../../core/ids.ts';
import { PermissionRuleEntity } from '../../core/log/permission-rule.entity.ts';
import { RoomEntity } from '../../core/log/room.entity.ts';
import { storeCustom } from '../../core/log/room-transaction.ts';
import { toRoom } from '../../core/log/to-protocol.ts';
import type { Room, RoomType } from '../../core/room.ts';
import type { EntityManager } from '../../database/store.ts';
import type { AppContext } from '../app-context.ts';
import { orderPair } from './pairs.ts';

const defaultMaxRules = 10;

/** The `max_entity_rules` of a room that was created without this field. */
export const getDefaultRuleLimit = ({ settings: { maxRulesPerRoom } }: AppContext): number =>
  maxRulesPerRoom > 0 ? Math.min(defaultMaxRules, maxRulesPerRoom) : defaultMaxRules;

export interface NewRoom {
  name: string;
  type: RoomType;
  level_admin: number;
  user_owner: Uuid;
  /** The organisation of the user owner, even if the room is not open to it. */
  userOwnerEntity: Uuid | null;
  entity_owner: Uuid | null;
  /** The other user of a `user2user` room, if they are known. */
  with?: Uuid | undefined;
  max_entity_rules: number;
  custom?: unknown;
  receipts?: boolean | undefined;
  readers_react?: boolean | undefined;
  createdAt: Date;
  rules: readonly Rule[];
}

/** Inserts the room with its first rules. These rules do not become entries of the log. */
export async function insertRoom(em: EntityManager, input: NewRoom): Promise<Room> {
  const { createdAt } = input;
  const room = em.create(RoomEntity, {
    uuid: randomUUID(),
    name: input.name,
    type: input.type,
    levelAdmin: input.level_admin,
    userOwner: input.user_owner,
    userOwnerEntity: input.userOwnerEntity,
    entityOwner: input.entity_owner,
    ...(input.with ? orderPair(input.user_owner, input.with) : {}),
    maxEntityRules: input.max_entity_rules,
    receipts: input.receipts ?? null,
    readersReact: input.readers_react ?? null,
    lastChangeAt: createdAt,
    createdAt,
    updatedAt: createdAt,
  });
  for (const { entity_UUID: grantee, ...rule } of input.rules) {
    em.persist(
      em.create(PermissionRuleEntity, { room, grantee, ...rule, fromSeq: 0, createdAt, updatedAt: createdAt }),
    );
  }
  await em.persist(room).flush();
  const custom = input.custom == null ? null : JSON.stringify(input.custom);
  if (custom !== null) await storeCustom(em, room.id, custom);
  return toRoom(room, custom);
}

/**
 * The first rules of a room. `accepted` is the answer of the user owner: users who create a room themselves accept it by
 * that.
 */
export function listFirstRules(
  { user_owner, entity_owner, with: other }: Pick<NewRoom, 'user_owner' | 'entity_owner' | 'with'>,
  accepted: boolean | null,
): Rule[] {
  const rules = user_owner === nilUuid ? [] : [createUserRule(user_owner, accepted)];
  if (entity_owner && entity_owner !== user_owner) {
    rules.push({ entity_UUID: entity_owner, kind: 'entity', permissions: 'rw', level: 100, accepted: null });
  }
  if (other) rules.push(createUserRule(other, null));
  return rules;
}

function createUserRule(user: Uuid, accepted: boolean | null): Rule {
  return { entity_UUID: user, kind: 'user', permissions: 'rwa', level: 0, accepted };
}
