import { checkMessages } from './oracle-messages.ts';
import { checkSubscription } from './oracle-subscriptions.ts';
import type { Evidence, Fault, Violation } from './record.ts';
import { rightsOverTime } from './rights-over-time.ts';
import type { RoomHistory } from './room-history.ts';

/** Compares everything that the clients saw with the logs. Returns an empty list if all guarantees were kept. */
export function checkRun(evidence: Evidence, histories: RoomHistory[]): Violation[] {
  const violations: Violation[] = [...evidence.violations];
  const report = (fault: Fault, what: string) => void violations.push({ fault, what });
  for (const history of histories) {
    const rights = rightsOverTime(history, evidence.users);
    checkLog(history, report);
    for (const subscription of evidence.subscriptions)
      if (subscription.room === history.room) checkSubscription(subscription, history, rights, report);
    checkMessages(evidence, history, rights, report);
    for (const { client, user, room, code } of evidence.excluded) {
      if (room !== history.room || !rights.canRead(user, history.lastRev)) continue;
      report('lost', `${client}: excluded from room ${room} (${code}), although they have r`);
    }
  }
  const known = new Set(histories.map(({ room }) => room));
  for (const { client, room } of evidence.subscriptions)
    if (!known.has(room)) report('lost', `${client}: room ${room} no longer exists`);
  return violations;
}

export type Report = (fault: Fault, what: string) => void;

/** Checks that `rev` and `seq` have no gaps, and end at the values in the row of the room. */
function checkLog({ room, lastRev, lastSeq, entries }: RoomHistory, report: Report): void {
  const messages = entries.filter(({ message }) => message);
  const broken = entries.findIndex(({ rev }, n) => rev !== n + 1);
  const unnumbered = messages.findIndex(({ seq }, n) => seq !== n + 1);
  if (broken >= 0) report('log', `room ${room}: rev ${entries[broken]!.rev} is at position ${broken + 1} of the log`);
  if (unnumbered >= 0) {
    report('log', `room ${room}: seq ${messages[unnumbered]!.seq} is at position ${unnumbered + 1} of the messages`);
  }
  if (entries.length !== lastRev) report('log', `room ${room}: ${entries.length} changes, but last_rev ${lastRev}`);
  if (messages.length !== lastSeq) report('log', `room ${room}: ${messages.length} messages, but last_seq ${lastSeq}`);
}
