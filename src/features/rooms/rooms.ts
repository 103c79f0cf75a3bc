import { randomUUID } from 'node:crypto';
import { toAuditFields } from '../../core/audit.ts';
import type { Actor, Rule } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomRef, Uuid } from '../../core/ids.ts';
import { PermissionRuleEntity } from '../../core/log/permission-rule.entity.ts';
import { RoomEntity } from '../../core/log/room.entity.ts';
import { lockRoom, publishAll, withLockedRoom } from '../../core/log/room-transaction.ts';
import { toRoom } from '../../core/log/to-protocol.ts';
import type { ChangeRoom, CreateRoom, Room } from '../../core/room.ts';
import { readDatabaseTime } from '../../database/database-time.ts';
import type { EntityManager } from '../../database/store.ts';
import { type AppContext, assertAllowed, findRoom, requireRoom } from '../app-context.ts';
import { countOwnedRooms } from './owned-rooms.ts';
import { createPairBanError, isPairViolation, orderPair, restoreAccess } from './pairs.ts';

const defaultRules = 10;

/** Makes a room. A user2user made `with` somebody exists once: making it again answers the one there is. */
export async function createRoom(context: AppContext, actor: Actor, wish: CreateRoom): Promise<Room> {
  const { rulesPerRoom } = context.settings;
  if (wish.max_entity_rules !== undefined) assertRuleLimit(context, wish.max_entity_rules);
  const maxRooms = rulesPerRoom > 0 ? Math.min(defaultRules, rulesPerRoom) : defaultRules;
  return createGroup(context, actor, { ...wish, max_entity_rules: wish.max_entity_rules ?? maxRooms });
}

function assertRuleLimit({ settings: { rulesPerRoom } }: AppContext, wished: number, present = 0): void {
  const field = 'max_entity_rules';
  if (rulesPerRoom > 0 && wished > rulesPerRoom) {
    throw new ChatError('BAD_REQUEST', { field, message: `must be at most ${rulesPerRoom}` });
  }
  if (wished < present) {
    throw new ChatError('BAD_REQUEST', { field, message: `must be at least ${present}: the room has so many rules` });
  }
}

type Wish = CreateRoom & { max_entity_rules: number };

async function createGroup(context: AppContext, actor: Actor, wish: Wish): Promise<Room> {
  if (wish.with === undefined) {
    requireRoomCreation(context, actor);
    return context.store.transaction((em) => insertRoom(context, em, actor, wish));
  }
  if (wish.type !== 'user2user') {
    throw new ChatError('BAD_REQUEST', { field: 'with', message: 'belongs to a room of type user2user' });
  }
  if (wish.with === actor.user) {
    throw new ChatError('BAD_REQUEST', { field: 'with', message: 'must be the other user, not oneself' });
  }
  return createPair(context, actor, wish, wish.with);
}

/** Coming back to a room that there is takes no right to create. */
function requireRoomCreation({ settings }: AppContext, actor: Actor): void {
  if (actor.level >= settings.roomCreateLevel || actor.mayCreateRooms) return;
  const message = `Creating rooms needs levelOnEntity ${settings.roomCreateLevel} or the scope rooms:create`;
  throw new ChatError('FORBIDDEN', { message });
}

async function createPair(context: AppContext, actor: Actor, wish: Wish, other: Uuid): Promise<Room> {
  const pair = orderPair(actor.user, other);
  const known = await context.log.pairSnapshot(pair.pairLow, pair.pairHigh);
  const own = known?.rules.find(({ entity_UUID }) => entity_UUID === actor.user);
  if (own?.permissions.includes('b')) throw createPairBanError();
  if (known && own && own.accepted !== false) return known.room;
  if (known) {
    context.requestLimits.consumeOwnChange(actor.user, known.room.id);
  } else {
    requireRoomCreation(context, actor);
    context.requestLimits.consumeRule(actor.user, other);
  }
  for (;;) {
    try {
      const { room, changes } = await context.store.transaction(async (em) => {
        const locked = await lockRoom(em, pair);
        if (!locked) {
          requireRoomCreation(context, actor);
          return { room: await insertRoom(context, em, actor, wish), changes: [] };
        }
        await restoreAccess(locked, actor.user);
        return { room: toRoom(locked.entity), changes: locked.changes };
      });
      publishAll(context, changes);
      return room;
    } catch (error) {
      // The other one made it in the meantime: now it is there to be found.
      if (!isPairViolation(error)) throw error;
    }
  }
}

/** The room and its first rules, which are its beginning and no changes of it. */
async function insertRoom({ settings }: AppContext, em: EntityManager, actor: Actor, wish: Wish): Promise<Room> {
  await assertBelowRoomLimit(em, actor.user, settings.roomsPerCreator);
  const now = await readDatabaseTime(em);
  const openTo = wish.type === 'group' && wish.open_to_entity ? actor.entity : null;
  const room = em.create(RoomEntity, {
    uuid: randomUUID(),
    name: wish.name,
    type: wish.type,
    levelAdmin: wish.level_admin,
    userOwner: actor.user,
    userOwnerEntity: actor.entity,
    entityOwner: openTo,
    ...(wish.with ? orderPair(actor.user, wish.with) : {}),
    maxEntityRules: wish.max_entity_rules,
    lastChangeAt: now,
    createdAt: now,
    updatedAt: now,
  });
  const rules = [userRule(actor.user, 'rwa', true)];
  if (openTo && openTo !== actor.user) {
    rules.push({ entity_UUID: openTo, kind: 'entity', permissions: 'rw', level: 100, accepted: null });
  }
  if (wish.with) rules.push(userRule(wish.with, 'rwa', null));
  if (rules.length > wish.max_entity_rules) {
    const message = `must be at least ${rules.length}: the room starts with so many rules`;
    throw new ChatError('BAD_REQUEST', { field: 'max_entity_rules', message });
  }
  for (const { entity_UUID: grantee, ...rule } of rules) {
    em.persist(em.create(PermissionRuleEntity, { room, grantee, ...rule, createdAt: now, updatedAt: now }));
  }
  await em.persist(room).flush();
  return toRoom(room);
}

/** Under a lock of the user's own, so that what is made at once is counted, too. */
async function assertBelowRoomLimit(em: EntityManager, user: Uuid, maxRooms: number): Promise<void> {
  if (maxRooms === 0) return;
  const owned = await countOwnedRooms(em, user, maxRooms);
  if (owned < maxRooms) return;
  throw new ChatError('TOO_MANY_ROOMS', { message: `This user has made ${maxRooms} rooms, as many as one user may` });
}

function userRule(user: Uuid, permissions: string, accepted: boolean | null): Rule {
  return { entity_UUID: user, kind: 'user', permissions, level: 0, accepted };
}

export async function readRoom(
  context: AppContext,
  actor: Actor,
  ref: RoomRef,
): Promise<{ room: Room; rights: string }> {
  const { room, decision } = await requireRoom(context, actor, 'enter', ref);
  return { room, rights: decision.rights };
}

export async function changeRoom(context: AppContext, actor: Actor, ref: RoomRef, wish: ChangeRoom): Promise<Room> {
  const known = await findRoom(context, actor, ref);
  assertAllowed(actor, known, { name: 'rename' });
  const { name, level_admin, max_entity_rules } = { ...known.room, ...wish };
  const changesLevel = level_admin !== known.room.level_admin;
  const changesRules = max_entity_rules !== known.room.max_entity_rules;
  if (changesLevel) assertAllowed(actor, known, { name: 'change level_admin', to: level_admin });
  if (changesRules) assertAllowed(actor, known, { name: 'change max_entity_rules' });
  if (!changesLevel && !changesRules && name === known.room.name) return known.room;
  const { changed, from } = await withLockedRoom(context, ref, (room) => {
    room.assertAllowed(actor, { name: 'rename' });
    const { name, levelAdmin, maxEntityRules } = room.entity;
    const next = {
      name: wish.name ?? name,
      levelAdmin: wish.level_admin ?? levelAdmin,
      maxEntityRules: wish.max_entity_rules ?? maxEntityRules,
    };
    if (next.levelAdmin !== levelAdmin) room.assertAllowed(actor, { name: 'change level_admin', to: next.levelAdmin });
    if (next.maxEntityRules !== maxEntityRules) {
      room.assertAllowed(actor, { name: 'change max_entity_rules' });
      assertRuleLimit(context, next.maxEntityRules, room.rules.length);
    }
    const isSame = next.name === name && next.levelAdmin === levelAdmin && next.maxEntityRules === maxEntityRules;
    if (!isSame) room.changeRoom(next);
    return { changed: toRoom(room.entity), from: levelAdmin };
  });
  const { id, level_admin: to } = changed;
  if (to !== from) context.audit('level_admin changed', { ...toAuditFields(id, actor), from, to });
  return changed;
}

/** Takes the room, its rules and its messages away; everybody inside is told and taken out. */
export async function deleteRoom(context: AppContext, actor: Actor, ref: RoomRef): Promise<void> {
  assertAllowed(actor, await findRoom(context, actor, ref), { name: 'delete' });
  const id = await withLockedRoom(context, ref, async (room) => {
    room.assertAllowed(actor, { name: 'delete' });
    await room.em.nativeDelete(RoomEntity, { id: room.entity.id });
    return room.entity.id;
  });
  context.rights.invalidate(id);
  context.bus.publish({ kind: 'deleted', room_id: id });
  context.audit('room deleted', toAuditFields(id, actor));
}
