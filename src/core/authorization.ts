import type { ErrorCode, RemovalCode } from './errors.ts';
import type { Uuid } from './ids.ts';
import type { RoomType, RuleKind } from './room.ts';

/** The user who makes a request, as the claims of their token describe them. */
export interface Actor {
  user: Uuid;
  entity: Uuid | null;
  level: number;
  mayCreateRooms: boolean;
  /** Whether nobody else may see how far the user has read. */
  hidesReceipts?: boolean;
  /** Whether the user is hidden from presence: neither shown nor counted among those who are present. */
  hidesPresence?: boolean;
}

/**
 * The service itself, which acts for the product's backend. It is above the rules: no rule, role, limit or rate of users
 * binds it. `user` is null, as `by` is in the changes that it makes.
 */
export const service = { user: null, entity: null } as const;

/** Who makes a change. */
export type Author = Pick<Actor, 'user' | 'entity'> | typeof service;

/** The fields of a room that rights depend on. */
export interface RoomOwnership {
  type: RoomType;
  user_owner: Uuid;
  entity_owner: Uuid | null;
  level_admin: number;
}

/** Drops the other fields of a room, so that they do not stay in memory. */
export function pickOwnership({ type, user_owner, entity_owner, level_admin }: RoomOwnership): RoomOwnership {
  return { type, user_owner, entity_owner, level_admin };
}

export interface Rule {
  entity_UUID: Uuid;
  kind: RuleKind;
  permissions: string;
  level: number;
  /** Whether the grantee accepted or declined. null means that they have not answered; the rule then still applies. */
  accepted: boolean | null;
}

export type Action = 'read' | 'write' | 'administer';

export interface Decision {
  /** The rights of the actor, as letters of `rwa`. */
  rights: string;
  /** Why the actor may not read; null if they may. */
  denialReason: Exclude<RemovalCode, 'ROOM_DELETED'> | null;
}

const letterByAction = { read: 'r', write: 'w', administer: 'a' } as const;

/**
 * Decides what the actor may do in a room. A ban overrides every grant; only owner administrators are exempt. If an
 * organisation is banned and the user owner is a member of it, the ban does not apply to them. Only a rule that names
 * the user owner as a user can ban them.
 */
export function authorize(actor: Actor, room: RoomOwnership, rules: Iterable<Rule>): Decision {
  if (administersAsOwner(actor, room)) return { rights: 'rwa', denialReason: null };
  const granted = new Set<string>();
  let denialReason: Decision['denialReason'] = 'RULE_REMOVED';
  for (const rule of rules) {
    const match = matchRule(rule, actor, room);
    if (!match) continue;
    if (rule.permissions.includes('b')) {
      if (match === 'entity' && actor.user === room.user_owner) continue;
      return { rights: '', denialReason: 'BANNED' };
    }
    if (rule.accepted === false) denialReason = 'DECLINED';
    else if (match === 'entity' && actor.level < rule.level)
      denialReason = denialReason === 'DECLINED' ? denialReason : 'LEVEL_TOO_LOW';
    else for (const letter of rule.permissions) granted.add(letter);
  }
  const rights = granted.has('a') ? 'rwa' : [...'rw'].filter((letter) => granted.has(letter)).join('');
  if (rights.includes('r')) return { rights, denialReason: null };
  return { rights, denialReason: rights ? 'NO_READ' : denialReason };
}

export function can(decision: Decision, action: Action): boolean {
  return decision.rights.includes(letterByAction[action]);
}

/**
 * Returns the error for a denied actor. If no rule matches the actor, the code is `NOT_FOUND`, so that the error does
 * not reveal whether the room exists.
 */
export function toDenialCode(decision: Decision): ErrorCode {
  if (decision.denialReason === 'BANNED') return 'BANNED';
  return decision.denialReason === 'RULE_REMOVED' ? 'NOT_FOUND' : 'FORBIDDEN';
}

export function administersAsOwner(actor: Actor, room: RoomOwnership): boolean {
  return (
    room.type === 'group' &&
    room.entity_owner !== null &&
    room.entity_owner === actor.entity &&
    actor.level >= room.level_admin
  );
}

/**
 * Returns whether the rule names the actor as a user or names their organisation, or null if it does neither. A rule of
 * a `user2user` room never names an organisation.
 */
export function matchRule(
  rule: Pick<Rule, 'entity_UUID' | 'kind'>,
  actor: Actor,
  room: RoomOwnership,
): 'user' | 'entity' | null {
  if (rule.entity_UUID === actor.user && rule.kind !== 'entity') return 'user';
  if (rule.entity_UUID === actor.entity && rule.kind !== 'user' && room.type === 'group') return 'entity';
  return null;
}
