import { createProgress } from '../observability/progress.ts';
import { type ConvertSettings, convertMessage, type NewMessage } from './convert-messages.ts';
import type { LegacyDatabase, LegacyMessage, MessageRange } from './legacy-database.ts';
import { planRooms, type RoomPlan } from './plan-rooms.ts';
import { Findings, formatReason, ImportError, type ImportResult } from './report.ts';
import { scanLegacy } from './scan.ts';
import { readMessageIds, readTime, type Target } from './target.ts';
import {
  type AdvancedRoom,
  advanceRooms,
  advanceSequences,
  countLeftOut,
  type LoggedRuleChange,
  writeMessages,
  writeProgress,
  writeRooms,
  writeRuleChanges,
} from './target-writes.ts';

interface ImportOptions {
  legacy: LegacyDatabase;
  target: Target;
  maxContentBytes: number;
  /** Reads and plans everything, but writes nothing. */
  isDryRun: boolean;
  print(line: string): void;
}

/**
 * The key of an advisory lock; any fixed number would do. While an import holds the lock, other imports are refused.
 */
const importLock = 7_777_003;

/** Copies everything that is new in the legacy service since the last import, in one transaction. */
export async function importLegacy({
  legacy,
  target,
  maxContentBytes,
  isDryRun,
  print,
}: ImportOptions): Promise<ImportResult> {
  await target.query(isDryRun ? 'begin read only' : 'begin');
  const result = await runImport().catch(async (error: unknown) => {
    await target.query('rollback').catch(() => {});
    if (error instanceof ImportError) throw error;
    throw new ImportError(`The import into ${target.location} failed: ${formatReason(error)}`, error);
  });
  await target.query(isDryRun ? 'rollback' : 'commit').catch((error: unknown) => {
    throw new ImportError(
      `The commit failed, and its outcome is unknown (${formatReason(error)}). Run the import again`,
      error,
    );
  });
  // The embedded database has no autovacuum, so its statistics are updated here. A failure can be ignored: the import
  // is committed already.
  if (!isDryRun) await target.query('analyze rooms, permission_rules, messages').catch(() => {});
  return result;

  async function runImport(): Promise<ImportResult> {
    const [lock] = await target.query<{ acquired: boolean }>(
      `select pg_try_advisory_xact_lock(${importLock}) as acquired`,
    );
    if (!lock!.acquired)
      throw new ImportError(`Another import into ${target.location} is running. Wait until it has ended`);
    const findings = new Findings();
    const now = await readTime(target);
    const scan = await scanLegacy(legacy, target, now, findings);
    if (scan.lastRoom > 0 && !isDryRun) await advanceSequences(target, scan.lastRoom, scan.lastMessage);
    const result: ImportResult = {
      findings,
      rooms: { known: 0, added: 0 },
      rules: { added: 0, changed: 0 },
      messages: 0,
    };
    const roomPlans = new Map<number, RoomPlan>();
    for await (const batch of legacy.rooms()) {
      const plan = await planRooms(batch, { target, scan, findings, now, shouldLock: !isDryRun });
      for (const [room, roomPlan] of plan.roomPlans) roomPlans.set(room, roomPlan);
      result.rooms.known += plan.known;
      result.rooms.added += plan.rooms.length;
      for (const { rules } of plan.rooms) result.rules.added += rules.length;
      if (!isDryRun) await writeRooms(target, plan.rooms);
      if (!isDryRun) await writeProgress(target, plan.progress, now);
    }
    result.messages = await convertMessages(roomPlans, { now, maxContentBytes, findings });
    const changes = logRuleChanges(roomPlans, now);
    result.rules.changed = changes.length;
    if (!isDryRun) await finish(roomPlans, changes);
    return result;
  }

  async function convertMessages(roomPlans: ReadonlyMap<number, RoomPlan>, settings: ConvertSettings): Promise<number> {
    const ranges: MessageRange[] = [];
    let expected = 0;
    for (const [room, roomPlan] of roomPlans) {
      if (roomPlan.expected > 0) ranges.push({ room, after: roomPlan.after });
      expected += roomPlan.expected;
    }
    const progress = createProgress(expected, print);
    const isKnown = createKnownCheck(target);
    let [seen, converted] = [0, 0];
    for await (const batch of ranges.length > 0 ? legacy.messages(ranges) : noMessages()) {
      const messages: NewMessage[] = [];
      for (const legacyMessage of batch) {
        const roomPlan = roomPlans.get(legacyMessage[1])!;
        if (roomPlan.shouldReread && (await isKnown(legacyMessage))) continue;
        const message = convertMessage(legacyMessage, roomPlan, roomPlan.fallbackDate, settings);
        if (message) messages.push(message);
        else roomPlan.leftOut += 1;
      }
      if (!isDryRun) await writeMessages(target, messages);
      seen += batch.length;
      converted += messages.length;
      progress.add(batch.length);
    }
    progress.end();
    if (seen !== expected) {
      throw new ImportError(
        `The legacy service has ${expected} messages, but only ${seen} could be read: some have no id`,
      );
    }
    return converted;
  }

  async function finish(roomPlans: ReadonlyMap<number, RoomPlan>, changes: LoggedRuleChange[]): Promise<void> {
    await writeRuleChanges(target, changes);
    const rightsRevs = new Map(changes.map(({ room, rev }) => [room, rev]));
    const advanced: AdvancedRoom[] = [];
    const leftOut = new Map<number, number>();
    for (const [room, roomPlan] of roomPlans) {
      const { seq, rev, at, pair } = roomPlan;
      if (rev > roomPlan.startRev)
        advanced.push({ ...{ room, seq, rev, at, pair }, rightsRev: rightsRevs.get(room) ?? null });
      if (roomPlan.leftOut > 0) leftOut.set(room, roomPlan.leftOut);
    }
    await advanceRooms(target, advanced);
    await countLeftOut(target, leftOut);
  }
}

async function* noMessages(): AsyncGenerator<LegacyMessage[]> {}

/** Assigns each rule change a position in the log of its room, after the imported messages. */
function logRuleChanges(roomPlans: ReadonlyMap<number, RoomPlan>, now: number): LoggedRuleChange[] {
  const logged: LoggedRuleChange[] = [];
  for (const [room, roomPlan] of roomPlans) {
    for (const change of roomPlan.changes ?? []) {
      roomPlan.rev += 1;
      roomPlan.at = Math.max(roomPlan.at, now);
      logged.push({ ...change, room, rev: roomPlan.rev, at: roomPlan.at });
    }
  }
  return logged;
}

/**
 * Returns a function that checks whether a message has been imported already. It remembers the ids of only one room,
 * because messages are read room by room.
 */
function createKnownCheck(target: Target) {
  let current: { room: number; ids: Set<number> } | undefined;
  return async ([id, room]: LegacyMessage): Promise<boolean> => {
    if (current?.room !== room) current = { room, ids: await readMessageIds(target, room) };
    return current.ids.has(id);
  };
}
