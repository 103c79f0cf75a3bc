import { progressOf } from '../observability/progress.ts';
import { type NewMessage, type TakingSettings, takeMessage } from './convert-messages.ts';
import { Findings } from './findings.ts';
import { ImportError, reasonOf } from './import-error.ts';
import type { OldMessage, Original, Wanted } from './legacy-rows.ts';
import { planRooms } from './plan-rooms.ts';
import type { RoomWork } from './room-plan.ts';
import { surveyOriginal } from './scan.ts';
import type { Target } from './target.ts';
import { readMessageIds, timeOf } from './target-reads.ts';
import {
  countLeftOut,
  type LoggedRuleChange,
  type MovedRoom,
  moveRooms,
  moveSequences,
  writeMarks,
  writeMessages,
  writeRooms,
  writeRuleChanges,
} from './target-writes.ts';

interface Import {
  original: Original;
  target: Target;
  contentBytes: number;
  /** Reads and decides everything, and writes nothing. */
  dryRun: boolean;
  tell(line: string): void;
}

export interface Outcome {
  findings: Findings;
  rooms: { known: number; added: number };
  rules: { added: number; changed: number };
  messages: number;
}

/** Any fixed number: whoever holds this advisory lock imports, another import is refused. */
const importLock = 7_777_003;

/** Copies what the database does not have yet of the original, all of it in one transaction. */
export async function importOriginal({ original, target, contentBytes, dryRun, tell }: Import): Promise<Outcome> {
  await target.query(dryRun ? 'begin read only' : 'begin');
  const outcome = await inTransaction().catch(async (error: unknown) => {
    await target.query('rollback').catch(() => {});
    if (error instanceof ImportError) throw error;
    throw new ImportError(`The database of this service at ${target.place}: ${reasonOf(error)}`, error);
  });
  await target.query(dryRun ? 'rollback' : 'commit').catch((error: unknown) => {
    throw new ImportError(`Whether it was committed is not known (${reasonOf(error)}): run it again`, error);
  });
  // No autovacuum would do it in the embedded database; what fails here is no matter.
  if (!dryRun) await target.query('analyze rooms, permission_rules, messages').catch(() => {});
  return outcome;

  async function inTransaction(): Promise<Outcome> {
    const [lock] = await target.query<{ had: boolean }>(`select pg_try_advisory_xact_lock(${importLock}) as had`);
    if (!lock!.had) throw new ImportError(`Another import into ${target.place} is running`);
    const findings = new Findings();
    const now = await timeOf(target);
    const survey = await surveyOriginal(original, target, now, findings);
    if (survey.lastRoom > 0 && !dryRun) await moveSequences(target, survey.lastRoom, survey.lastMessage);
    const outcome: Outcome = { findings, rooms: { known: 0, added: 0 }, rules: { added: 0, changed: 0 }, messages: 0 };
    const works = new Map<number, RoomWork>();
    for await (const some of original.rooms()) {
      const plan = await planRooms(some, { target, survey, findings, now, lock: !dryRun });
      for (const [room, work] of plan.works) works.set(room, work);
      outcome.rooms.known += plan.known;
      outcome.rooms.added += plan.rooms.length;
      for (const { rules } of plan.rooms) outcome.rules.added += rules.length;
      if (!dryRun) await writeRooms(target, plan.rooms);
      if (!dryRun) await writeMarks(target, plan.marks, now);
    }
    outcome.messages = await takeMessages(works, { now, contentBytes, findings });
    const changes = logRuleChanges(works, now);
    outcome.rules.changed = changes.length;
    if (!dryRun) await finish(works, changes);
    return outcome;
  }

  async function takeMessages(works: ReadonlyMap<number, RoomWork>, settings: TakingSettings): Promise<number> {
    const wanted: Wanted[] = [];
    let expected = 0;
    for (const [room, work] of works) {
      if (work.expected > 0) wanted.push({ room, after: work.after });
      expected += work.expected;
    }
    const progress = progressOf(expected, tell);
    const known = knownMessages(target);
    let [seen, taken] = [0, 0];
    for await (const batch of wanted.length > 0 ? original.messages(wanted) : noMessages()) {
      const messages: NewMessage[] = [];
      for (const old of batch) {
        const work = works.get(old[1])!;
        if (work.reread && (await known(old))) continue;
        const message = takeMessage(old, work, work.undated, settings);
        if (message) messages.push(message);
        else work.leftOut += 1;
      }
      if (!dryRun) await writeMessages(target, messages);
      seen += batch.length;
      taken += messages.length;
      progress.add(batch.length);
    }
    progress.end();
    if (seen !== expected) {
      throw new ImportError(`${expected} messages were counted in the original and ${seen} found: some have no id`);
    }
    return taken;
  }

  async function finish(works: ReadonlyMap<number, RoomWork>, changes: LoggedRuleChange[]): Promise<void> {
    await writeRuleChanges(target, changes);
    const rights = new Map(changes.map(({ room, rev }) => [room, rev]));
    const moved: MovedRoom[] = [];
    const leftOut = new Map<number, number>();
    for (const [room, work] of works) {
      const { seq, rev, at, pair } = work;
      if (rev > work.from) moved.push({ ...{ room, seq, rev, at, pair }, rightsRev: rights.get(room) ?? null });
      if (work.leftOut > 0) leftOut.set(room, work.leftOut);
    }
    await moveRooms(target, moved);
    await countLeftOut(target, leftOut);
  }
}

async function* noMessages(): AsyncGenerator<OldMessage[]> {}

/** Gives changed rules their places in the logs of their rooms, after the messages. */
function logRuleChanges(works: ReadonlyMap<number, RoomWork>, now: number): LoggedRuleChange[] {
  const logged: LoggedRuleChange[] = [];
  for (const [room, work] of works) {
    for (const change of work.changes ?? []) {
      work.rev += 1;
      work.at = Math.max(work.at, now);
      logged.push({ ...change, room, rev: work.rev, at: work.at });
    }
  }
  return logged;
}

/** Whether a message is here already; the ids of one room at a time are kept, for they come room by room. */
function knownMessages(target: Target) {
  let at: { room: number; ids: Set<number> } | undefined;
  return async ([id, room]: OldMessage): Promise<boolean> => {
    if (at?.room !== room) at = { room, ids: await readMessageIds(target, room) };
    return at.ids.has(id);
  };
}
