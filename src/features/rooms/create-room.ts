import { randomUUID } from 'node:crypto';
import type { Actor, Rule } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import type { Uuid } from '../../core/ids.ts';
import { PermissionRuleEntity } from '../../core/log/permission-rule.entity.ts';
import { RoomEntity } from '../../core/log/room.entity.ts';
import { lockRoom, publishAll, storeCustom } from '../../core/log/room-transaction.ts';
import { toRoom } from '../../core/log/to-protocol.ts';
import type { Room } from '../../core/room.ts';
import { readDatabaseTime } from '../../database/clock.ts';
import type { EntityManager } from '../../database/store.ts';
import type { AppContext } from '../app-context.ts';
import type { CreateRoom } from './contract.ts';
import { countOwnedRooms } from './owned-rooms.ts';
import { createPairBanError, isPairViolation, orderPair, restoreAccess } from './pairs.ts';
import { assertRuleLimit } from './rule-limit.ts';

const defaultMaxRules = 10;

/** Creates a room. If `with` names another user and the two already have a `user2user` room, returns that room. */
export async function createRoom(context: AppContext, actor: Actor, input: CreateRoom): Promise<Room> {
  const { maxRulesPerRoom } = context.settings;
  if (input.max_entity_rules !== undefined) assertRuleLimit(context, input.max_entity_rules);
  const maxRules = maxRulesPerRoom > 0 ? Math.min(defaultMaxRules, maxRulesPerRoom) : defaultMaxRules;
  return createRoomOrPair(context, actor, { ...input, max_entity_rules: input.max_entity_rules ?? maxRules });
}

type RoomInput = CreateRoom & { max_entity_rules: number };

async function createRoomOrPair(context: AppContext, actor: Actor, input: RoomInput): Promise<Room> {
  if (input.with === undefined) {
    requireRoomCreation(context, actor);
    return context.store.transaction((em) => insertRoom(context, em, actor, input));
  }
  if (input.type !== 'user2user') {
    throw new ChatError('BAD_REQUEST', { field: 'with', message: 'is only allowed for a room of type user2user' });
  }
  if (input.with === actor.user) {
    throw new ChatError('BAD_REQUEST', { field: 'with', message: 'must be the other user, not yourself' });
  }
  return createPair(context, actor, input, input.with);
}

/** Required to create a room, but not to return to the existing room of a pair. */
function requireRoomCreation({ settings }: AppContext, actor: Actor): void {
  if (actor.level >= settings.roomCreateLevel || actor.mayCreateRooms) return;
  const message = `Creating rooms requires levelOnEntity ${settings.roomCreateLevel} or the scope rooms:create`;
  throw new ChatError('FORBIDDEN', { message });
}

async function createPair(context: AppContext, actor: Actor, input: RoomInput, other: Uuid): Promise<Room> {
  const pair = orderPair(actor.user, other);
  const existing = await context.log.pairSnapshot(pair.pairLow, pair.pairHigh);
  const ownRule = existing?.rules.find(({ entity_UUID }) => entity_UUID === actor.user);
  if (ownRule?.permissions.includes('b')) throw createPairBanError();
  if (existing && ownRule && ownRule.accepted !== false) return existing.room;
  if (existing) {
    context.requestLimits.consumeOwnChange(actor.user, existing.room.id);
  } else {
    requireRoomCreation(context, actor);
    context.requestLimits.consumeRule(actor.user, other);
  }
  for (;;) {
    try {
      const { room, changes } = await context.store.transaction(async (em) => {
        const locked = await lockRoom(em, pair, actor);
        if (!locked) {
          requireRoomCreation(context, actor);
          return { room: await insertRoom(context, em, actor, input), changes: [] };
        }
        await restoreAccess(locked, actor.user);
        return { room: toRoom(locked.entity, await locked.readCustom()), changes: locked.changes };
      });
      publishAll(context, changes);
      return room;
    } catch (error) {
      // The other user has just created the room of the pair. The next attempt finds it.
      if (!isPairViolation(error)) throw error;
    }
  }
}

/** Inserts the room with its first rules. These rules do not become entries of the log. */
async function insertRoom({ settings }: AppContext, em: EntityManager, actor: Actor, input: RoomInput): Promise<Room> {
  await assertBelowRoomLimit(em, actor.user, settings.maxRoomsPerCreator);
  const now = await readDatabaseTime(em);
  const entityOwner = input.type === 'group' && input.open_to_entity ? actor.entity : null;
  const room = em.create(RoomEntity, {
    uuid: randomUUID(),
    name: input.name,
    type: input.type,
    levelAdmin: input.level_admin,
    userOwner: actor.user,
    userOwnerEntity: actor.entity,
    entityOwner,
    ...(input.with ? orderPair(actor.user, input.with) : {}),
    maxEntityRules: input.max_entity_rules,
    receipts: input.receipts ?? null,
    readersReact: input.readers_react ?? null,
    lastChangeAt: now,
    createdAt: now,
    updatedAt: now,
  });
  const rules = [createUserRule(actor.user, 'rwa', true)];
  if (entityOwner && entityOwner !== actor.user) {
    rules.push({ entity_UUID: entityOwner, kind: 'entity', permissions: 'rw', level: 100, accepted: null });
  }
  if (input.with) rules.push(createUserRule(input.with, 'rwa', null));
  if (rules.length > input.max_entity_rules) {
    const message = `must be at least ${rules.length}, the number of rules of the new room`;
    throw new ChatError('BAD_REQUEST', { field: 'max_entity_rules', message });
  }
  for (const { entity_UUID: grantee, ...rule } of rules) {
    em.persist(em.create(PermissionRuleEntity, { room, grantee, ...rule, fromSeq: 0, createdAt: now, updatedAt: now }));
  }
  await em.persist(room).flush();
  const custom = input.custom == null ? null : JSON.stringify(input.custom);
  if (custom !== null) await storeCustom(em, room.id, custom);
  return toRoom(room, custom);
}

async function assertBelowRoomLimit(em: EntityManager, user: Uuid, maxRooms: number): Promise<void> {
  if (maxRooms === 0) return;
  const owned = await countOwnedRooms(em, user, maxRooms);
  if (owned < maxRooms) return;
  throw new ChatError('TOO_MANY_ROOMS', {
    message: `You have reached the limit of ${maxRooms} rooms per user; delete a room first`,
  });
}

function createUserRule(user: Uuid, permissions: string, accepted: boolean | null): Rule {
  return { entity_UUID: user, kind: 'user', permissions, level: 0, accepted };
}
