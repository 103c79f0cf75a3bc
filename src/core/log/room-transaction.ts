import { LockMode } from '@mikro-orm/core';
import { readDatabaseTime } from '../../database/clock.ts';
import type { EntityManager, Store } from '../../database/store.ts';
import { type AdministrativeAction, findDenial } from '../administration.ts';
import {
  type Action,
  type Actor,
  type Author,
  authorize,
  can,
  type Decision,
  type Rule,
  toDenialCode,
} from '../authorization.ts';
import type { RoomBus } from '../bus.ts';
import { ChatError } from '../errors.ts';
import { isKeyRef, type RoomId, type RoomRef, toKey, type Uuid } from '../ids.ts';
import type { Change, Grant } from './change.ts';
import { affectsRights, changeKinds } from './change-kinds.ts';
import { PermissionRuleEntity } from './permission-rule.entity.ts';
import type { RightsCache } from './rights-cache.ts';
import { RoomEntity } from './room.entity.ts';
import { RoomChangeEntity } from './room-change.entity.ts';
import { RoomKeyEntity } from './room-key.entity.ts';
import { toRoom, toRoomOwnership, toRule } from './to-protocol.ts';

interface WriteContext {
  store: Pick<Store, 'transaction'>;
  bus: Pick<RoomBus, 'publish'>;
  rights: Pick<RightsCache, 'invalidate'>;
}

/**
 * A transaction that holds the lock of a room. Until the transaction ends, no other can change the room or its rules or
 * append to its log.
 */
export class RoomTransaction {
  readonly em: EntityManager;
  readonly entity: RoomEntity;
  /**
   * The rules of the author, of the user owner, of everybody who may administer, and of the grantees that the caller
   * has named. No other rule affects what the author may do. The other rules are not read, because a room can have
   * thousands of them, and everybody else waits for the lock meanwhile.
   */
  readonly rules: PermissionRuleEntity[];
  readonly #grantees: ReadonlySet<Uuid> | 'all';
  /** The time of all changes of this transaction. The log never goes back in time, even if the database clock does. */
  readonly now: Date;
  /** The user who makes the changes; null for the service. */
  readonly by: Uuid | null;
  readonly changes: Change[] = [];

  constructor(
    em: EntityManager,
    entity: RoomEntity,
    { rules, grantees }: { rules: PermissionRuleEntity[]; grantees: ReadonlySet<Uuid> | 'all' },
    now: Date,
    by: Uuid | null,
  ) {
    this.em = em;
    this.entity = entity;
    this.rules = rules;
    this.#grantees = grantees;
    this.by = by;
    this.now = now > entity.lastChangeAt ? now : entity.lastChangeAt;
  }

  get isPair(): boolean {
    return this.entity.type === 'user2user';
  }

  decide(actor: Actor): Decision {
    return authorize(actor, toRoomOwnership(this.entity), this.rules.map(toRule));
  }

  requireAction(actor: Actor, action: Action): void {
    const decision = this.decide(actor);
    if (!can(decision, action)) throw new ChatError(toDenialCode(decision));
  }

  assertAllowed(actor: Actor, action: AdministrativeAction): void {
    const denial = findDenial(actor, toRoomOwnership(this.entity), this.rules.map(toRule), action);
    if (denial) throw new ChatError(denial.code, denial.message === undefined ? {} : { message: denial.message });
  }

  /** Finds the rule of one of the grantees that were named when the room was locked. */
  findRule(grantee: Uuid): PermissionRuleEntity | undefined {
    if (this.#grantees !== 'all' && !this.#grantees.has(grantee))
      throw new Error(`The rule of ${grantee} was not read`);
    return this.rules.find((rule) => rule.grantee === grantee);
  }

  /** Counts all rules of the room. Call this before the rules are changed. */
  countRules(): Promise<number> {
    return this.em.count(PermissionRuleEntity, { room: this.entity });
  }

  addRule(rule: Rule): PermissionRuleEntity {
    const { entity_UUID: grantee, kind, permissions, level, accepted } = rule;
    const timestamps = { createdAt: this.now, updatedAt: this.now };
    const entity = this.em.create(PermissionRuleEntity, {
      room: this.entity,
      ...{ grantee, kind, permissions, level, accepted },
      fromSeq: this.entity.lastSeq,
      ...timestamps,
    });
    this.em.persist(entity);
    this.rules.push(entity);
    this.recordRule(toRule(entity));
    return entity;
  }

  changeRule(entity: PermissionRuleEntity, next: Partial<Omit<Rule, 'entity_UUID'>>): PermissionRuleEntity {
    Object.assign(entity, next, { updatedAt: this.now });
    this.recordRule(toRule(entity));
    return entity;
  }

  removeRule(entity: PermissionRuleEntity): void {
    const removed = { ...toRule(entity), permissions: null };
    this.em.remove(entity);
    this.rules.splice(this.rules.indexOf(entity), 1);
    this.recordRule(removed);
  }

  /** Returns the JSON of the app that is stored with the room, as text. */
  async readCustom(): Promise<string | null> {
    const [row] = await this.em.execute<{ custom: string }[]>('select custom from room_custom where room_id = ?', [
      this.entity.id,
    ]);
    return row?.custom ?? null;
  }

  /** `custom` is the JSON of the app, as text, before and after the change. */
  async changeRoom(
    next: Partial<Pick<RoomEntity, 'name' | 'levelAdmin' | 'maxEntityRules' | 'receipts' | 'readersReact'>>,
    custom: { before: string | null; after: string | null },
  ): Promise<void> {
    Object.assign(this.entity, next, { updatedAt: this.now });
    if (custom.before !== custom.after) await storeCustom(this.em, this.entity.id, custom.after);
    const room = toRoom(this.entity, custom.after);
    this.#record('room', (position) => ({ kind: 'room', ...position, by: this.by, room }), room);
  }

  recordRule(rule: Grant): void {
    this.#record('member', (position) => ({ kind: 'member', ...position, by: this.by, rule }), rule);
  }

  #record(
    kind: 'member' | 'room',
    toChange: (position: { room_id: RoomId; rev: number; at: number }) => Change,
    body: unknown,
  ): void {
    const rev = this.entity.lastRev + 1;
    this.entity.lastRev = rev;
    if (changeKinds[kind].affectsRights) this.entity.rightsRev = rev;
    this.entity.lastChangeAt = this.now;
    this.changes.push(toChange({ room_id: this.entity.id, rev, at: this.now.getTime() }));
    this.em.persist(
      this.em.create(RoomChangeEntity, { room: this.entity, rev, kind, body, at: this.now, actor: this.by }),
    );
  }
}

type RoomCondition = { id: number } | { uuid: string } | { pairLow: string; pairHigh: string };

/** Stores the JSON of the app with the room; null removes it. */
export async function storeCustom(em: EntityManager, room: RoomId, custom: string | null): Promise<void> {
  if (custom === null) await em.execute('delete from room_custom where room_id = ?', [room]);
  else {
    await em.execute(
      `insert into room_custom (room_id, custom) values (?, ?)
       on conflict (room_id) do update set custom = excluded.custom`,
      [room, custom],
    );
  }
}

/**
 * Locks the room until the transaction ends, for changes by this author. Reads the rules of the grantees, too. Returns
 * undefined if the room does not exist.
 */
export async function lockRoom(
  em: EntityManager,
  where: RoomCondition,
  { user, entity }: Author,
  grantees: readonly Uuid[] | 'all' = [],
): Promise<RoomTransaction | undefined> {
  const room = await em.findOne(RoomEntity, where, { lockMode: LockMode.PESSIMISTIC_WRITE });
  if (!room) return undefined;
  const named =
    grantees === 'all' ? grantees : new Set([user, entity, room.userOwner, ...grantees].filter((one) => one !== null));
  const rules = await em.find(
    PermissionRuleEntity,
    named === 'all' ? { room } : { room, $or: [{ grantee: { $in: [...named] } }, { permissions: { $like: '%a%' } }] },
    { orderBy: { createdAt: 'asc', grantee: 'asc' } },
  );
  return new RoomTransaction(em, room, { rules, grantees: named }, await readDatabaseTime(em), user);
}

/** Undefined if no room has the key. */
async function toCondition(em: EntityManager, ref: RoomRef): Promise<RoomCondition | undefined> {
  if (typeof ref === 'number') return { id: ref };
  if (!isKeyRef(ref)) return { uuid: ref };
  const found = await em.findOne(RoomKeyEntity, { key: toKey(ref) });
  return found ? { id: found.roomId } : undefined;
}

/**
 * Runs `task` while the room is locked, and publishes the changes after the commit. `grantees` are those whose rules the
 * task finds or compares, besides the author. Throws `NOT_FOUND` if the room does not exist.
 */
export async function withLockedRoom<T>(
  context: WriteContext,
  author: Author,
  ref: RoomRef,
  task: (room: RoomTransaction) => T | Promise<T>,
  grantees: readonly Uuid[] | 'all' = [],
): Promise<T> {
  const { result, changes } = await context.store.transaction(async (em) => {
    const where = await toCondition(em, ref);
    const room = where && (await lockRoom(em, where, author, grantees));
    if (!room) throw new ChatError('NOT_FOUND');
    const result = await task(room);
    return { result, changes: room.changes };
  });
  publishAll(context, changes);
  return result;
}

export function publishAll({ bus, rights }: Pick<WriteContext, 'bus' | 'rights'>, changes: readonly Change[]): void {
  for (const change of changes) {
    if (affectsRights(change)) rights.invalidate(change.room_id);
    bus.publish(change);
  }
}
