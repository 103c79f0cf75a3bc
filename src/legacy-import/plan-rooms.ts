import { derivedUuid, identityOf, newRoom, shapeOf } from './convert-rooms.ts';
import { tellRules } from './convert-rules.ts';
import type { Findings } from './findings.ts';
import type { OldRooms } from './legacy-rows.ts';
import { seenRule } from './merge-rules.ts';
import { planKnown } from './plan-known.ts';
import type { Plan, Planning } from './room-plan.ts';
import { lowest } from './room-plan.ts';
import { pairKeyOf, type Survey, type SurveyedRoom, takeNumbered } from './scan.ts';
import { readUuids } from './target-reads.ts';

export async function planRooms(some: OldRooms, planning: Planning): Promise<Plan> {
  const { survey, findings, now } = planning;
  const rooms = takeNumbered(some, survey.tallies, now, findings);
  const [known, fresh] = [true, false].map((is) => rooms.filter(({ room }) => survey.seen.has(room.id) === is));
  const plan: Plan = { rooms: [], marks: [], works: new Map(), known: 0 };
  await planKnown(known!, planning, plan);
  await planFresh(fresh!, planning, plan);
  return plan;
}

async function planFresh(
  fresh: SurveyedRoom[],
  { target, survey, findings, now }: Planning,
  plan: Plan,
): Promise<void> {
  const uuids = await readUuids(
    target,
    fresh.map(({ room }) => identityOf(room)),
  );
  for (const one of fresh) {
    const { room, tally, rules, owner } = one;
    const own = identityOf(room);
    const uuid = uuids.has(own) ? derivedUuid(room) : own;
    uuids.add(uuid);
    const shape = shapeIn(one, survey, findings);
    const made = newRoom(room, { shape, uuid, owner, rules, now }, findings);
    tellRules(room.id, made.rules, findings);
    plan.rooms.push(made);
    plan.marks.push({
      ...{ room: room.id, uuid: own, lastMessageId: tally.last, seenMessages: tally.count, leftOut: 0 },
      // Without the one that its owner was given here: the original cannot take away what it does not have.
      rules: Object.fromEntries(
        made.rules.filter(({ grantee }) => isTheirs(rules, grantee)).map((rule) => [rule.grantee, seenRule(rule)]),
      ),
    });
    plan.works.set(room.id, {
      ...{ seq: 0, rev: 0, at: 0, from: 0, undated: made.created },
      ...{ after: lowest, expected: tally.count, reread: false, leftOut: 0, changes: undefined, pair: undefined },
    });
  }
}

const isTheirs = (rules: SurveyedRoom['rules'], grantee: string) => rules.some((rule) => rule.grantee === grantee);

function shapeIn(one: SurveyedRoom, { pairs, ofPairs }: Survey, findings: Findings) {
  const { room, rules, owner } = one;
  const key = pairKeyOf(one);
  const hasRoom = key !== undefined && (pairs.has(key) || (ofPairs.get(key) ?? room.id) !== room.id);
  const shape = shapeOf(room, owner, rules, hasRoom);
  if (shape === 'pair' && key) pairs.add(key);
  if (shape === 'private') findings.add(hasRoom ? 'room_same_two' : 'room_more_than_two', `room ${room.id}`);
  return shape;
}
