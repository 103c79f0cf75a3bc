import { type Actor, administersAsOwner, authorize, matchRule } from '../../core/authorization.ts';
import type { RoomListItem } from '../../core/inbox-item.ts';
import type { RoomSnapshot, RuleSnapshot } from '../../core/log/room-snapshot.ts';
import { toPermissionRule } from '../../core/log/to-protocol.ts';

/**
 * Returns the room with the rule that is shown to the actor. Returns undefined if the room does not belong in the
 * requested list.
 */
export function toListItem(
  { room, rules }: Pick<RoomSnapshot, 'room' | 'rules'>,
  actor: Actor,
  accepted: boolean | undefined,
): RoomListItem | undefined {
  const ownRules = rules.filter((rule) => matchRule(rule, actor, room) !== null);
  const isOwnerAdmin = administersAsOwner(actor, room);
  const { rights, denialReason } = authorize(actor, room, ownRules);
  // Banned users must not learn the room's name or activity.
  if (denialReason === 'BANNED') return undefined;
  const canEnter = rights !== '';
  // Sorts the actor's own rule before that of their organisation.
  ownRules.sort((a, b) => Number(b.entity_UUID === actor.user) - Number(a.entity_UUID === actor.user));
  // Ignores the rights as owner administrator, to find the rule that lets the actor in without them.
  const withoutOwner = { ...room, entity_owner: null };
  const grantingRule = ownRules.find((rule) => authorize(actor, withoutOwner, [rule]).rights !== '');
  const shownRule = canEnter
    ? (grantingRule ?? (isOwnerAdmin ? createOwnerRule(actor, room) : undefined))
    : ownRules.find(({ accepted }) => accepted === false);
  if (!shownRule || !matchesQuery(accepted, canEnter, shownRule)) return undefined;
  return { ...toPermissionRule(room.id, isOwnerAdmin ? { ...shownRule, permissions: 'rwa' } : shownRule), ...room };
}

function matchesQuery(accepted: boolean | undefined, canEnter: boolean, { accepted: answer }: RuleSnapshot): boolean {
  if (!canEnter) return accepted === false;
  return accepted === undefined || accepted === (answer === true);
}

function createOwnerRule(actor: Actor, { level_admin, createdAt, updatedAt }: RoomSnapshot['room']): RuleSnapshot {
  const entity_UUID = actor.entity!;
  return { entity_UUID, kind: 'entity', permissions: 'rwa', level: level_admin, accepted: true, createdAt, updatedAt };
}
