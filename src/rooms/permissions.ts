import type { ErrorCode, RemovalCode } from '../protocol/errors.ts';
import type { Uuid } from '../protocol/identifiers.ts';
import type { RoomType, RuleKind } from '../protocol/room.ts';

/** Who asks, as the token claims. */
export interface Actor {
  user: Uuid;
  entity: Uuid | null;
  level: number;
  mayCreateRooms: boolean;
}

/** What of a room bears on rights. */
export interface RoomOwnership {
  type: RoomType;
  user_owner: Uuid;
  entity_owner: Uuid | null;
  level_admin: number;
}

export interface Rule {
  entity_UUID: Uuid;
  kind: RuleKind;
  permissions: string;
  level: number;
  /** null: not answered, and as good as yes. */
  accepted: boolean | null;
}

export type Action = 'read' | 'write' | 'administer';

export interface Verdict {
  /** The letters of `rwa` that the actor has. */
  rights: string;
  /** Why the actor cannot read; null where he can. */
  lack: Exclude<RemovalCode, 'ROOM_DELETED'> | null;
}

const letterOf = { read: 'r', write: 'w', administer: 'a' } as const;

/** The one decision on rights. A ban beats every grant; only the owner administrators stand above the rules. */
export function judge(actor: Actor, room: RoomOwnership, rules: Iterable<Rule>): Verdict {
  if (administersAsOwner(actor, room)) return { rights: 'rwa', lack: null };
  const granted = new Set<string>();
  let lack: Verdict['lack'] = 'RULE_REMOVED';
  for (const rule of rules) {
    const match = matchOf(rule, actor, room);
    if (!match) continue;
    if (rule.permissions.includes('b')) return { rights: '', lack: 'BANNED' };
    if (rule.accepted === false) lack = 'DECLINED';
    else if (match === 'entity' && actor.level < rule.level) lack = lack === 'DECLINED' ? lack : 'LEVEL_TOO_LOW';
    else for (const letter of rule.permissions) granted.add(letter);
  }
  const rights = granted.has('a') ? 'rwa' : [...'rw'].filter((letter) => granted.has(letter)).join('');
  if (rights.includes('r')) return { rights, lack: null };
  return { rights, lack: rights ? 'NO_READ' : lack };
}

export function may(verdict: Verdict, action: Action): boolean {
  return verdict.rights.includes(letterOf[action]);
}

/** What to answer to one who may not: a room that nothing leads to does not exist for him. */
export function refusalOf(verdict: Verdict): ErrorCode {
  if (verdict.lack === 'BANNED') return 'BANNED';
  return verdict.lack === 'RULE_REMOVED' ? 'NOT_FOUND' : 'FORBIDDEN';
}

export function administersAsOwner(actor: Actor, room: RoomOwnership): boolean {
  return (
    room.type === 'group' &&
    room.entity_owner !== null &&
    room.entity_owner === actor.entity &&
    actor.level >= room.level_admin
  );
}

/** Whether a rule names the actor: himself, or his organisation, which only a group's rules can. */
export function matchOf(
  rule: Pick<Rule, 'entity_UUID' | 'kind'>,
  actor: Actor,
  room: RoomOwnership,
): 'user' | 'entity' | null {
  if (rule.entity_UUID === actor.user && rule.kind !== 'entity') return 'user';
  if (rule.entity_UUID === actor.entity && rule.kind !== 'user' && room.type === 'group') return 'entity';
  return null;
}

/** Whether the rule by itself lets somebody administer the room. */
export function administers(rule: Rule): boolean {
  return rule.permissions.includes('a') && !rule.permissions.includes('b') && rule.accepted !== false;
}
