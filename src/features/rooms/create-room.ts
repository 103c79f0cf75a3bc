import type { Actor } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import type { Uuid } from '../../core/ids.ts';
import { lockRoom, publishAll } from '../../core/log/room-transaction.ts';
import { toRoom } from '../../core/log/to-protocol.ts';
import type { Room } from '../../core/room.ts';
import { readDatabaseTime } from '../../database/clock.ts';
import type { EntityManager } from '../../database/store.ts';
import type { AppContext } from '../app-context.ts';
import type { CreateRoom } from './contract.ts';
import { getDefaultRuleLimit, insertRoom, listFirstRules } from './insert-room.ts';
import { countOwnedRooms } from './owned-rooms.ts';
import { createPairBanError, isPairViolation, orderPair, restoreAccess } from './pairs.ts';
import { assertRuleLimit } from './rule-limit.ts';

/** Creates a room. If `with` names another user and the two already have a `user2user` room, returns that room. */
export async function createRoom(context: AppContext, actor: Actor, input: CreateRoom): Promise<Room> {
  if (input.max_entity_rules !== undefined) assertRuleLimit(context, input.max_entity_rules);
  const max_entity_rules = input.max_entity_rules ?? getDefaultRuleLimit(context);
  return createRoomOrPair(context, actor, { ...input, max_entity_rules });
}

type RoomInput = CreateRoom & { max_entity_rules: number };

async function createRoomOrPair(context: AppContext, actor: Actor, input: RoomInput): Promise<Room> {
  if (input.with === undefined) {
    requireRoomCreation(context, actor);
    return context.store.transaction((em) => insertOwnRoom(context, em, actor, input));
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
          return { room: await insertOwnRoom(context, em, actor, input), changes: [] };
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

async function insertOwnRoom(
  { settings }: AppContext,
  em: EntityManager,
  actor: Actor,
  input: RoomInput,
): Promise<Room> {
  await assertBelowRoomLimit(em, actor.user, settings.maxRoomsPerCreator);
  const entity_owner = input.type === 'group' && input.open_to_entity ? actor.entity : null;
  const ownership = { user_owner: actor.user, userOwnerEntity: actor.entity, entity_owner };
  const rules = listFirstRules({ ...ownership, with: input.with }, true);
  if (rules.length > input.max_entity_rules) {
    const message = `must be at least ${rules.length}, the number of rules of the new room`;
    throw new ChatError('BAD_REQUEST', { field: 'max_entity_rules', message });
  }
  return insertRoom(em, { ...input, ...ownership, rules, createdAt: await readDatabaseTime(em) });
}

async function assertBelowRoomLimit(em: EntityManager, user: Uuid, maxRooms: number): Promise<void> {
  if (maxRooms === 0) return;
  const owned = await countOwnedRooms(em, user, maxRooms);
  if (owned < maxRooms) return;
  throw new ChatError('TOO_MANY_ROOMS', {
    message: `You have reached the limit of ${maxRooms} rooms per user; delete a room first`,
  });
}
