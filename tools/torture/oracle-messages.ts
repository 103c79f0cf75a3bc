import type { Report } from './oracle.ts';
import { type Evidence, ruleText, type Sent, toText } from './record.ts';
import type { Entry, RoomHistory, StoredMessage } from './room-history.ts';

type MessageEntry = Entry & { message: NonNullable<Entry['message']> };

/** Checks that acknowledged messages are stored exactly once, and that nothing else is stored. */
export function checkMessages(
  { sent, ruleChanges }: Evidence,
  { room, entries, messages }: RoomHistory,
  report: Report,
): void {
  const stored = new Map<string, MessageEntry[]>();
  for (const entry of entries as MessageEntry[]) {
    if (!entry.message) continue;
    const { emitter, clientMsgId } = entry.message;
    const key = `${emitter} ${clientMsgId}`;
    stored.set(key, [...(stored.get(key) ?? []), entry]);
  }
  for (const [key, twice] of stored) {
    const revs = twice.map(({ rev }) => rev);
    if (revs.length > 1) report('duplicated', `room ${room}: the message ${key} is stored as revs ${revs.join(', ')}`);
  }
  for (const message of sent) {
    if (message.room !== room) continue;
    const key = `${message.user} ${message.clientMsgId}`;
    const entry = stored.get(key)?.[0];
    checkSent(message, entry, messages.get(entry?.seq ?? 0), report);
    stored.delete(key);
  }
  for (const [key, [entry]] of stored) report('log', `room ${room}: nobody sent rev ${entry!.rev}, ${key}`);
  checkRuleChanges(room, entries, ruleChanges, report);
}

function checkSent(
  { client, room, clientMsgId, content, extras = {}, attempts, outcome }: Sent,
  entry: MessageEntry | undefined,
  message: StoredMessage | undefined,
  report: Report,
) {
  const what = `${client} in room ${room}: ${clientMsgId}`;
  const isOriginal = message && message.version === entry?.rev;
  if (isOriginal && message.content !== content) report('altered', `${what}: stored with different content`);
  if (isOriginal && toText(message.extras) !== toText(extras)) {
    report('altered', `${what}: stored with ${toText(message.extras)}, sent with ${toText(extras)}`);
  }
  // After several attempts, one attempt can be refused while another is still being processed.
  if (outcome?.is === 'refused' && attempts === 1 && entry) {
    report('log', `${what}: refused (${outcome.code}), but stored as rev ${entry.rev}`);
  }
  if (outcome?.is !== 'stored') return;
  const { id, seq, rev, duplicate } = outcome;
  if (!entry) return report('lost', `${what}: acknowledged as rev ${rev}, but not stored`);
  // A duplicate is acknowledged with the `rev` of the version that the message has by then.
  const isSameRev = duplicate ? rev >= entry.rev : rev === entry.rev;
  if (entry.message.id !== id || entry.seq !== seq || !isSameRev) {
    const is = `id ${entry.message.id}, seq ${entry.seq}, rev ${entry.rev}`;
    report('altered', `${what}: acknowledged as id ${id}, seq ${seq}, rev ${rev}, stored as ${is}`);
  }
}

/** Checks that the rules of each grantee in the log are the acknowledged rules, in the same order. */
function checkRuleChanges(room: number, entries: Entry[], ruleChanges: Evidence['ruleChanges'], report: Report): void {
  const logged = new Map<string, (string | null)[]>();
  const wanted = new Map<string, (string | null)[]>();
  // Putting the same rule again changes nothing. Accepting an invitation changes the log, but keeps the rule.
  const note = (rules: typeof logged, grantee: string, rule: string | null) => {
    const row = rules.get(grantee) ?? [];
    rules.set(grantee, row);
    if (row.length === 0 || row.at(-1) !== rule) row.push(rule);
  };
  for (const { rule } of entries) if (rule) note(logged, rule.grantee, ruleText(rule.permissions, rule.level));
  for (const ruleChange of ruleChanges) if (ruleChange.room === room) note(wanted, ruleChange.grantee, ruleChange.rule);
  for (const grantee of new Set([...logged.keys(), ...wanted.keys()])) {
    const [is, should] = [logged.get(grantee) ?? [], wanted.get(grantee) ?? []];
    if (is.join() === should.join()) continue;
    report('lost', `room ${room}: the rules of ${grantee} are ${is.join(', ')}; acknowledged ${should.join(', ')}`);
  }
}
