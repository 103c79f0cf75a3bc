import { type Actor, administersAsOwner, authorize, matchRule } from '../../core/authorization.ts';
import type { Position } from '../../core/cursor.ts';
import type { RoomSnapshot, RuleSnapshot } from '../../core/log/room-snapshot.ts';
import { toPermissionRule } from '../../core/log/to-protocol.ts';
import type { AppContext } from '../app-context.ts';
import type { RoomListItem, RoomListQuery } from './contract.ts';

const maxChunkSize = 1_000;
/** Rooms that are read in addition to the requested number, because `toListItem` filters some out. */
const spareRooms = 10;

/**
 * Lists the rooms that the actor can enter, latest activity first, each with the rule that lets them in. The database
 * returns candidates in chunks: rooms with a rule for the actor, and rooms that they administer as owner. `toListItem`
 * then selects the rooms that the actor can enter.
 */
export function listRooms(context: AppContext, actor: Actor, query: RoomListQuery): Promise<RoomListItem[]> {
  return context.concurrentReads.run(actor.user, () => readList(context, actor, query));
}

async function readList({ log }: AppContext, actor: Actor, query: RoomListQuery): Promise<RoomListItem[]> {
  const itemCount = query.offset + query.limit;
  const items: RoomListItem[] = [];
  let before: Position | undefined;
  let chunkSize = query.accepted === undefined ? Math.min(maxChunkSize, itemCount + spareRooms) : maxChunkSize;
  while (items.length < itemCount) {
    const snapshots = await log.listRooms(actor.user, actor.entity, actor.level, before, chunkSize);
    for (const snapshot of snapshots) {
      const item = toListItem(snapshot, actor, query.accepted);
      if (item) items.push(item);
    }
    if (snapshots.length < chunkSize) break;
    before = snapshots.at(-1)?.head;
    chunkSize = maxChunkSize;
  }
  return items.slice(query.offset, itemCount);
}

function toListItem(
  { room, rules }: RoomSnapshot,
  actor: Actor,
  accepted: boolean | undefined,
): RoomListItem | undefined {
  const ownRules = rules.filter((rule) => matchRule(rule, actor, room) !== null);
  const isOwnerAdmin = administersAsOwner(actor, room);
  const { rights, denialReason } = authorize(actor, room, ownRules);
  // Banned users must not learn the room's name or activity.
  if (denialReason === 'BANNED') return undefined;
  const canEnter = rights !== '';
  // The actor's own rule takes precedence over the rule of their organisation.
  ownRules.sort((a, b) => Number(b.entity_UUID === actor.user) - Number(a.entity_UUID === actor.user));
  // The rule that would let the actor in if they were not an owner administrator.
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
