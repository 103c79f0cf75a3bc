import type { Disturbance } from './inbox-lag.ts';
import {
  checkBases,
  checkErasure,
  checkOperations,
  checkReactions,
  checkRights,
  checkTimelines,
  checkTokens,
  checkValues,
} from './oracle-conversation.ts';
import { checkDeletions } from './oracle-deletions.ts';
import { checkInboxes, checkInboxRights, checkPositions } from './oracle-inbox.ts';
import { checkMessages } from './oracle-messages.ts';
import { checkPresence } from './oracle-presence.ts';
import { checkReceipts, checkSettings } from './oracle-read-state.ts';
import { checkSubscription } from './oracle-subscriptions.ts';
import { checkTyping } from './oracle-typing.ts';
import { checkConsumers } from './oracle-webhooks.ts';
import type { Evidence, Fault, Rule, Violation } from './record.ts';
import { rightsOverTime } from './rights-over-time.ts';
import type { RoomHistory } from './room-history.ts';

/**
 * Compares everything that the clients saw with the database. `tokens` are the texts of clients in all tables. Returns an
 * empty list if all guarantees were kept.
 */
export function checkRun(
  evidence: Evidence,
  histories: RoomHistory[],
  tokens = new Map<string, Set<string>>(),
  disturbances: Disturbance[] = [],
): Violation[] {
  const violations: Violation[] = [...evidence.violations];
  const reportOn =
    (rule: Rule): Report =>
    (fault, what) =>
      void violations.push({ fault, what, rule });
  for (const history of histories) {
    const rights = rightsOverTime(history, evidence.users);
    const operations = evidence.operations.filter(({ room }) => room === history.room);
    checkLog(history, reportOn('log'));
    for (const subscription of evidence.subscriptions)
      if (subscription.room === history.room) checkSubscription(subscription, history, rights, reportOn('delivery'));
    checkMessages(evidence, history, reportOn('storage'));
    checkOperations(operations, history, reportOn('storage'));
    checkValues({ ...evidence, operations }, history, reportOn('values'));
    checkErasure(evidence, history, reportOn('erasure'));
    checkBases(operations, history, reportOn('base'));
    checkRights(evidence, history, rights, reportOn('rights'));
    checkReactions(history, reportOn('reactions'));
    checkTimelines(evidence, history, reportOn('convergence'));
    checkPositions(evidence, history, reportOn('positions'));
    checkReceipts(evidence, history, rights, reportOn('receipts'));
    checkSettings(evidence, history, reportOn('settings'));
    checkInboxes({ evidence, history, rights, disturbances, reportSetting: reportOn('settings') }, reportOn('inbox'));
    checkConsumers(evidence, history, disturbances, reportOn('webhooks'));
    checkInboxRights(evidence, history, rights, reportOn('inbox-rights'));
    for (const { client, user, room, code } of evidence.excluded) {
      if (room !== history.room || !rights.canRead(user, history.lastRev)) continue;
      reportOn('delivery')('lost', `${client}: excluded from room ${room} (${code}), although they have r`);
    }
  }
  evidence.longestTypingMs = checkTyping(evidence, reportOn('typing'));
  checkPresence(evidence, reportOn('presence'));
  checkDeletions(evidence, reportOn('deletion'));
  checkTokens(tokens, histories, reportOn('erasure'));
  const known = new Set(histories.map(({ room }) => room));
  for (const { client, room } of evidence.subscriptions)
    if (!known.has(room)) reportOn('delivery')('lost', `${client}: room ${room} no longer exists`);
  return violations;
}

export type Report = (fault: Fault, what: string) => void;

/** Checks that `rev` and `seq` have no gaps, and end at the values in the row of the room. */
function checkLog({ room, lastRev, lastSeq, lastChangeAt, entries }: RoomHistory, report: Report): void {
  const messages = entries.filter(({ message }) => message);
  const broken = entries.findIndex(({ rev }, n) => rev !== n + 1);
  const unnumbered = messages.findIndex(({ seq }, n) => seq !== n + 1);
  if (broken >= 0) report('log', `room ${room}: rev ${entries[broken]!.rev} is at position ${broken + 1} of the log`);
  if (unnumbered >= 0) {
    report('log', `room ${room}: seq ${messages[unnumbered]!.seq} is at position ${unnumbered + 1} of the messages`);
  }
  if (entries.length !== lastRev) report('log', `room ${room}: ${entries.length} changes, but last_rev ${lastRev}`);
  if (messages.length !== lastSeq) report('log', `room ${room}: ${messages.length} messages, but last_seq ${lastSeq}`);
  const last = entries.at(-1);
  if (last && last.at !== lastChangeAt) {
    report('log', `room ${room}: rev ${last.rev} was committed at ${last.at}, but last_change_at is ${lastChangeAt}`);
  }
  const earlier = entries.findIndex(({ at }, n) => n > 0 && at < entries[n - 1]!.at);
  if (earlier >= 0) report('log', `room ${room}: rev ${entries[earlier]!.rev} is earlier than the rev before it`);
}
