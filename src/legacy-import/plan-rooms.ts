import { convertRoom, deriveUuid, findShape, toRoomUuid } from './convert-rooms.ts';
import { reportRules } from './convert-rules.ts';
import type { Findings } from './findings.ts';
import type { LegacyRoomBatch } from './legacy-rows.ts';
import { toSeenRule } from './merge-rules.ts';
import { planKnownRooms } from './plan-known.ts';
import type { BatchPlan, PlanContext } from './room-plan.ts';
import { minId } from './room-plan.ts';
import { convertNumberedRooms, type Scan, type ScannedRoom, toPairKey } from './scan.ts';
import { readUuids } from './target-reads.ts';

export async function planRooms(batch: LegacyRoomBatch, context: PlanContext): Promise<BatchPlan> {
  const { scan, findings, now } = context;
  const rooms = convertNumberedRooms(batch, scan.tallies, now, findings);
  const [known, fresh] = [true, false].map((is) => rooms.filter(({ room }) => scan.seen.has(room.id) === is));
  const plan: BatchPlan = { rooms: [], marks: [], roomPlans: new Map(), known: 0 };
  await planKnownRooms(known!, context, plan);
  await planNewRooms(fresh!, context, plan);
  return plan;
}

async function planNewRooms(
  fresh: ScannedRoom[],
  { target, scan, findings, now }: PlanContext,
  plan: BatchPlan,
): Promise<void> {
  const uuids = await readUuids(
    target,
    fresh.map(({ room }) => toRoomUuid(room)),
  );
  for (const one of fresh) {
    const { room, tally, rules, owner } = one;
    const ownUuid = toRoomUuid(room);
    const uuid = uuids.has(ownUuid) ? deriveUuid(room) : ownUuid;
    uuids.add(uuid);
    const shape = chooseShape(one, scan, findings);
    const converted = convertRoom(room, { shape, uuid, owner, rules, now }, findings);
    reportRules(room.id, converted.rules, findings);
    plan.rooms.push(converted);
    plan.marks.push({
      ...{ room: room.id, uuid: ownUuid, lastMessageId: tally.last, seenMessages: tally.count, leftOut: 0 },
      // Without the one that its owner was given here: the original cannot take away what it does not have.
      rules: Object.fromEntries(
        converted.rules
          .filter(({ grantee }) => isTheirs(rules, grantee))
          .map((rule) => [rule.grantee, toSeenRule(rule)]),
      ),
    });
    plan.roomPlans.set(room.id, {
      ...{ seq: 0, rev: 0, at: 0, from: 0, undated: converted.created },
      ...{ after: minId, expected: tally.count, reread: false, leftOut: 0, changes: undefined, pair: undefined },
    });
  }
}

const isTheirs = (rules: ScannedRoom['rules'], grantee: string) => rules.some((rule) => rule.grantee === grantee);

function chooseShape(one: ScannedRoom, { pairs, roomByPair }: Scan, findings: Findings) {
  const { room, rules, owner } = one;
  const key = toPairKey(one);
  const hasRoom = key !== undefined && (pairs.has(key) || (roomByPair.get(key) ?? room.id) !== room.id);
  const shape = findShape(room, owner, rules, hasRoom);
  if (shape === 'pair' && key) pairs.add(key);
  if (shape === 'private') findings.add(hasRoom ? 'room_same_two' : 'room_more_than_two', `room ${room.id}`);
  return shape;
}
