import { type Rule, service } from '../../core/authorization.ts';
import { ChatError } from '../../core/errors.ts';
import { nilUuid, type RoomKeyRef, toKey } from '../../core/ids.ts';
import type { Change } from '../../core/log/change.ts';
import { RoomKeyEntity } from '../../core/log/room-key.entity.ts';
import { lockRoom, publishAll } from '../../core/log/room-transaction.ts';
import type { Room } from '../../core/room.ts';
import { readDatabaseTime } from '../../database/clock.ts';
import type { EntityManager } from '../../database/store.ts';
import { toRule } from '../admin-members/plan-rules.ts';
import type { AppContext } from '../app-context.ts';
import { getDefaultRuleLimit, insertRoom, listFirstRules, type NewRoom } from '../rooms/insert-room.ts';
import { isPairViolation, orderPair } from '../rooms/pairs.ts';
import { assertRuleLimit } from '../rooms/rule-limit.ts';
import { applyForService, changeForService } from './change-room.ts';
import type { AdminRoom, PutRoom } from './contract.ts';

interface PutResult {
  room: AdminRoom;
  created: boolean;
}

/** Creates or changes the room that has this key. */
export async function putRoom(context: AppContext, ref: RoomKeyRef, input: PutRoom): Promise<PutResult> {
  const key = toKey(ref);
  for (;;) {
    const snapshot = await context.log.snapshot(ref);
    const put = snapshot
      ? await changeKeyedRoom(context, ref, snapshot.room, input)
      : await createKeyedRoom(context, key, input);
    if (put) return { room: { ...put.room, key }, created: put.created };
    // The room has just been created or deleted by somebody else. The next attempt finds it as it is now.
  }
}

type Put = { room: Room; created: boolean } | undefined;

async function changeKeyedRoom(context: AppContext, ref: RoomKeyRef, room: Room, input: PutRoom): Promise<Put> {
  if (input.type !== undefined && input.type !== room.type) {
    throw new ChatError('KEY_CONFLICT', {
      field: 'type',
      message: `The room of this key has the type ${room.type}, which cannot change`,
    });
  }
  try {
    return { room: await changeForService(context, ref, room, input), created: false };
  } catch (error) {
    if (error instanceof ChatError && error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

/** Resolves to undefined if another transaction has created the room meanwhile. */
async function createKeyedRoom(context: AppContext, key: string, input: PutRoom): Promise<Put> {
  const room = toNewRoom(context, input);
  try {
    const created = await context.store.transaction(async (em) => {
      // Two calls with the same new key would both insert a room, and one of them would fail.
      await em.execute('select pg_advisory_xact_lock(hashtextextended(?, 0))', [`room key ${key}`]);
      if (await em.findOne(RoomKeyEntity, { key })) return undefined;
      return (await giveKeyToPair(context, em, key, room, input)) ?? (await insertKeyedRoom(em, key, room));
    });
    if (!created) return undefined;
    publishAll(context, created.changes);
    created.audit();
    return created;
  } catch (error) {
    if (isPairViolation(error)) return undefined;
    throw error;
  }
}

interface Created {
  room: Room;
  created: boolean;
  changes: readonly Change[];
  audit(): void;
}

async function insertKeyedRoom(
  em: EntityManager,
  key: string,
  { createdAt, name, ...room }: NewRoomInput,
): Promise<Created> {
  if (name === undefined) return refuse('name', 'is required for a new room');
  const now = await readDatabaseTime(em);
  if (createdAt !== undefined && createdAt > now.getTime() + clockLeewayMs) {
    throw new ChatError('BAD_REQUEST', { field: 'createdAt', message: 'must not be in the future' });
  }
  const inserted = await insertRoom(em, {
    ...room,
    name,
    createdAt: new Date(Math.min(createdAt ?? Infinity, now.getTime())),
  });
  await em.persist(em.create(RoomKeyEntity, { key, roomId: inserted.id })).flush();
  return { room: inserted, created: true, changes: [], audit: () => {} };
}

/** How far the clock of the backend may be ahead. */
const clockLeewayMs = 300_000;

/** Resolves to undefined if the room is not one of a pair, or the pair has no room yet. */
async function giveKeyToPair(
  context: AppContext,
  em: EntityManager,
  key: string,
  { user_owner, with: other }: NewRoomInput,
  input: PutRoom,
): Promise<Created | undefined> {
  const room = other && (await lockRoom(em, orderPair(user_owner, other), service));
  if (!room) return undefined;
  const present = await em.findOne(RoomKeyEntity, { roomId: room.entity.id });
  if (present) {
    throw new ChatError('KEY_CONFLICT', { message: `The room of these two users has the key ${present.key} already` });
  }
  em.persist(em.create(RoomKeyEntity, { key, roomId: room.entity.id }));
  const { room: changed, audit } = await applyForService(context, room, input);
  return { room: changed, created: false, changes: room.changes, audit };
}

type NewRoomInput = Omit<NewRoom, 'name' | 'createdAt'> & Pick<PutRoom, 'name' | 'createdAt'>;

const refuse = (field: string, message: string): never => {
  throw new ChatError('BAD_REQUEST', { field, message });
};

function toNewRoom(context: AppContext, input: PutRoom): NewRoomInput {
  const { name, type = 'group', user_owner, with: other, entity_owner = null, createdAt } = input;
  if (input.max_entity_rules !== undefined) assertRuleLimit(context, input.max_entity_rules);
  if (type === 'group' && other) return refuse('with', 'is only allowed for a room of type user2user');
  if (type === 'user2user') {
    if (!user_owner) return refuse('user_owner', 'is required for a room of type user2user');
    if (user_owner === nilUuid)
      return refuse(
        'user_owner',
        'must be a user for a room of type user2user, not the nil UUID, which is the service',
      );
    if (!other) return refuse('with', 'is required for a room of type user2user');
    if (other === user_owner) return refuse('with', 'must be another user than user_owner');
    if (entity_owner) return refuse('entity_owner', 'is only allowed for a room of type group');
  }
  const ownership = { user_owner: user_owner ?? nilUuid, entity_owner, with: other };
  return {
    ...{ name, type, ...ownership, userOwnerEntity: entity_owner, createdAt },
    level_admin: input.level_admin ?? 100,
    max_entity_rules: input.max_entity_rules ?? getDefaultRuleLimit(context),
    ...{ custom: input.custom, receipts: input.receipts, readers_react: input.readers_react },
    rules: toFirstRules(context, input, ownership),
  };
}

function toFirstRules(
  { settings: { maxRulesPerRoom } }: AppContext,
  { rules, type }: PutRoom,
  ownership: Pick<NewRoom, 'user_owner' | 'entity_owner' | 'with'>,
): Rule[] {
  if (!rules) return listFirstRules(ownership, null);
  const isPair = type === 'user2user';
  const first = rules.map((rule, n) => {
    if (isPair && rule.grantee !== ownership.user_owner && rule.grantee !== ownership.with) {
      refuse(`rules.${n}`, 'must name one of the two users of the room');
    }
    return toRule(undefined, rule, isPair, n) ?? refuse(`rules.${n}.permissions`, 'is required for a new rule');
  });
  if (maxRulesPerRoom > 0 && first.length > maxRulesPerRoom) {
    const message = `The room would have ${first.length} rules, more than MAX_RULES_PER_ROOM (${maxRulesPerRoom})`;
    throw new ChatError('TOO_MANY_RULES', { message });
  }
  return first;
}
