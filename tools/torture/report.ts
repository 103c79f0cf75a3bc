import { countDone } from './oracle-conversation.ts';
import { type Evidence, type Operation, type Rule, rules, type Violation } from './record.ts';
import type { Incident } from './run-faults.ts';

/** Formats the statistics of a run as lines of text. */
export function formatReport(evidence: Evidence, incidents: Incident[], bans: number[]): string[] {
  return [
    ...counts(evidence),
    ...countInboxes(evidence),
    '',
    ...recoveries(incidents, bans),
    '',
    ...inboxLags(evidence),
    '',
    ...consumerDelays(evidence),
    '',
    ...delays(evidence, incidents),
  ];
}

function counts(evidence: Evidence): string[] {
  const { sent, operations, answers, timelines, subscriptions, ruleChanges, excluded, deletedRooms } = evidence;
  const outcomes = Object.entries(tally(sent.map(({ outcome }) => outcome?.is ?? 'unanswered')));
  const ends = Object.entries(tally(subscriptions.map(({ end }) => end?.how ?? 'still subscribed')));
  const delivered = subscriptions.reduce((sum, { applied }) => sum + applied.length, 0);
  const repeated = sent.filter(({ attempts }) => attempts > 1).length;
  const recovered = subscriptions.filter((subscription) => subscription.recovered).length;
  const asked = (kind: Operation['kind']) => operations.filter((operation) => operation.kind === kind).length;
  return [
    `conversation: ${countDone(operations, 'edit')} of ${asked('edit')} edits, ${countDone(operations, 'delete')} of ${asked('delete')} deletions and ${countDone(operations, 'react')} of ${asked('react')} reactions acknowledged; ${answers.length} messages in answers; ${timelines.length} timelines`,
    `messages ${sent.length}: ${formatList(outcomes)}; ${repeated} sent more than once`,
    `subscriptions ${subscriptions.length}: ${formatList(ends)}; ${recovered} recovered with since; ${excluded.length} excluded at the end`,
    `changes ${delivered} delivered; ${ruleChanges.length} rules put or removed`,
    `rooms deleted ${deletedRooms.length}: ${deletedRooms.flatMap((room) => room.answers).length} requests meanwhile, ${deletedRooms.flatMap((room) => room.listeners).length} listeners`,
  ];
}

function countInboxes(evidence: Evidence): string[] {
  const { marks, settings, receipts, inboxes, inboxItems, typing, longestTypingMs, subscriptions } = evidence;
  const countAnswered = (writes: { done: unknown }[]) => writes.filter(({ done }) => done).length;
  const sets = subscriptions.reduce((sum, { presence = [] }) => sum + presence.length, 0);
  return [
    `read state: ${countAnswered(marks)} of ${marks.length} marks and ${countAnswered(settings)} of ${settings.length} settings acknowledged; ${receipts.length} positions of others; ${inboxes.length} inboxes opened, ${inboxItems} items`,
    `typing: shown ${typing.length} times, at most ${Math.round(longestTypingMs)} ms after the user said so; presence: ${sets} sets`,
  ];
}

function tally(words: string[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const word of words) sums[word] = (sums[word] ?? 0) + 1;
  return sums;
}

const formatList = (entries: [string, number][]) => entries.map(([word, times]) => `${times} ${word}`).join(', ');

/**
 * The longest recoveries of each kind of fault. Faults without another fault at the same time are listed separately.
 */
function recoveries(incidents: Incident[], bans: number[]): string[] {
  const rows = [['fault', 'count', 'alone', 'subscribers', 'all clients', 'overlapping']];
  for (const fault of new Set(incidents.map((incident) => incident.fault))) {
    const all = incidents.filter((incident) => incident.fault === fault);
    const alone = all.filter(({ isMixed }) => !isMixed);
    rows.push([
      ...[fault, String(all.length), String(alone.length)],
      longest(alone.map(({ recovery }) => recovery.subscribersMs)),
      longest(alone.map(({ recovery }) => recovery.allClientsMs)),
      longest(all.filter(({ isMixed }) => isMixed).map(({ recovery }) => recovery.allClientsMs)),
    ]);
  }
  rows.push(['ban', String(bans.length), '', '', longest(bans), '']);
  const slow = incidents
    .filter(({ recovery }) => recovery.allClientsMs > slowMs)
    .map(({ fault, recovery: { allClientsMs, last } }) => `  ${fault} took ${allClientsMs} ms: last, ${last}`);
  return [...table('longest recovery, in ms', rows), ...slow];
}

/** From the commit to the item, by what had failed meanwhile. The longest is the longest inbox lag. */
function inboxLags({ inboxLags: lags, delays }: Evidence): string[] {
  const rows = [['', ...percentileNames]];
  for (const [kind, times] of [...lags].sort(([a], [b]) => (a < b ? -1 : 1))) rows.push([kind, ...percentiles(times)]);
  const waits = delays.map(({ ms }) => ms);
  return [
    ...table('inbox lag from the commit, in ms', rows),
    ...table('waits for a timer, a request and a query, in ms', [
      ['', ...percentileNames],
      ['', ...percentiles(waits)],
    ]),
  ];
}

function consumerDelays({ consumers, duplicates, consumerDelays: delays }: Evidence): string[] {
  const names = [...consumers].map(([name, deliveries]) => {
    const accepted = deliveries.filter(({ isAccepted }) => isAccepted);
    const changes = accepted.reduce((sum, one) => sum + one.changes.length, 0);
    return `the ${name}: ${deliveries.length} requests, ${accepted.length} accepted, ${changes} changes, ${duplicates.get(name) ?? 0} of them again`;
  });
  const rows = [['', ...percentileNames]];
  for (const [kind, times] of [...delays].sort(([a], [b]) => (a < b ? -1 : 1)))
    rows.push([kind, ...percentiles(times)]);
  return [...names, ...table('delay from the commit to a consumer, in ms', rows)];
}

const percentileNames = ['count', 'p50', 'p99', 'longest'];

function percentiles(times: number[]): string[] {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => String(Math.round(sorted[Math.floor((sorted.length - 1) * share)] ?? 0));
  return [String(times.length), at(0.5), at(0.99), at(1)];
}

const slowMs = 3_000;

const longest = (times: number[]) => (times.length > 0 ? String(Math.round(Math.max(...times))) : '-');

type Conditions = 'no fault' | 'Redis down' | 'other faults';

/**
 * The delays from the acknowledgement of a message to its delivery to each other member. A delivery before the
 * acknowledgement counts as 0.
 */
function delays({ sent, subscriptions }: Evidence, incidents: Incident[]): string[] {
  const stored = new Map<string, { at: number; node: number; user: string; conditions: Conditions }>();
  for (const { room, user, outcome } of sent) {
    if (outcome?.is !== 'stored' || outcome.duplicate) continue;
    const { rev, at, node } = outcome;
    stored.set(`${room} ${rev}`, { at, node, user, conditions: getConditions(at, incidents) });
  }
  const byRow = new Map<string, number[]>();
  for (const subscription of subscriptions) {
    for (const { rev, at, live } of subscription.applied) {
      const message = stored.get(`${subscription.room} ${rev}`);
      if (!message || !live || message.user === subscription.user) continue;
      const row = `${message.conditions}, ${message.node === subscription.node ? 'same node' : 'other node'}`;
      const times = byRow.get(row) ?? [];
      byRow.set(row, times);
      times.push(Math.max(0, at - message.at));
    }
  }
  const rows = [['', ...percentileNames]];
  for (const [name, times] of [...byRow].sort(([a], [b]) => (a < b ? -1 : 1))) {
    rows.push([name, ...percentiles(times)]);
  }
  return table('delay from the acknowledgement to other members, in ms', rows);
}

function getConditions(at: number, incidents: Incident[]): Conditions {
  const on = incidents.filter(
    ({ startedAt, endedAt, recovery }) => at >= startedAt && at <= endedAt + recovery.allClientsMs,
  );
  if (on.length === 0) return 'no fault';
  const during = on.every(({ fault, endedAt }) => fault.includes('redis') && at <= endedAt);
  return during ? 'Redis down' : 'other faults';
}

function table(title: string, rows: string[][]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: string[]) =>
    row.map((cell, n) => (n === 0 ? cell.padEnd(widths[n]!) : cell.padStart(widths[n]!))).join('  ');
  return [title, ...rows.map((row) => `  ${line(row)}`)];
}

const shown = 30;

/** The last lines of the report: the guarantees, and how often each was violated. */
export function formatSummary({ sent }: Evidence, violations: Violation[], seed: number): string[] {
  const times = (fault: Violation['fault']) => violations.filter((one) => one.fault === fault).length;
  const main = (['lost', 'duplicated', 'reordered', 'leaked'] as const).map((fault) => `${times(fault)} ${fault}`);
  const others = (['altered', 'log', 'protocol', 'process'] as const).filter((fault) => times(fault) > 0);
  const all = [...main, ...others.map((fault) => `${times(fault)} ${fault}`)].join(', ');
  const stored = sent.filter(({ outcome }) => outcome?.is === 'stored').length;
  const list = violations.slice(0, shown).map(({ fault, what }) => `  ${fault}: ${what}`);
  if (violations.length > shown) list.push(`  … and ${violations.length - shown} more`);
  const byRule = Object.keys(rules).map((rule) => `${rule} ${violations.filter((one) => toRule(one) === rule).length}`);
  list.push(`violations per rule: ${byRule.join(', ')}`);
  return [...list, `torture: ${stored} messages, seed ${seed}, ${all} — ${violations.length === 0 ? 'OK' : 'FAILED'}`];
}

/** A fault that a client noticed itself belongs to what it receives. */
function toRule({ rule, fault }: Violation): Rule {
  return rule ?? (fault === 'protocol' || fault === 'process' ? 'protocol' : 'delivery');
}
