import type { Evidence, Violation } from './record.ts';
import type { Blow } from './storm.ts';

/** Formats the statistics of a run as lines of text. */
export function reportOf(evidence: Evidence, blows: Blow[], bans: number[]): string[] {
  return [...counts(evidence), '', ...recoveries(blows, bans), '', ...delays(evidence, blows)];
}

function counts({ sent, stays, rulings, outside }: Evidence): string[] {
  const outcomes = Object.entries(tally(sent.map(({ outcome }) => outcome?.is ?? 'unanswered')));
  const ends = Object.entries(tally(stays.map(({ end }) => end?.how ?? 'to the end')));
  const told = stays.reduce((sum, { applied }) => sum + applied.length, 0);
  const repeated = sent.filter(({ attempts }) => attempts > 1).length;
  const recovered = stays.filter((stay) => stay.recovered).length;
  return [
    `messages   ${sent.length}: ${listOf(outcomes)}; ${repeated} sent more than once`,
    `stays      ${stays.length}: ${listOf(ends)}; ${recovered} recovered by since; ${outside.length} shut out at the end`,
    `changes    told ${told} times; ${rulings.length} rules put or removed`,
  ];
}

function tally(words: string[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const word of words) sums[word] = (sums[word] ?? 0) + 1;
  return sums;
}

const listOf = (entries: [string, number][]) => entries.map(([word, times]) => `${times} ${word}`).join(', ');

/**
 * The longest recoveries of each kind of fault. Faults without another fault at the same time are listed separately.
 */
function recoveries(blows: Blow[], bans: number[]): string[] {
  const rows = [['fault', 'times', 'alone', 'stayed in', 'everybody', 'when mixed']];
  for (const fault of new Set(blows.map((blow) => blow.fault))) {
    const all = blows.filter((blow) => blow.fault === fault);
    const alone = all.filter(({ isMixed }) => !isMixed);
    rows.push([
      ...[fault, String(all.length), String(alone.length)],
      longest(alone.map(({ recovery }) => recovery.stayedMs)),
      longest(alone.map(({ recovery }) => recovery.everybodyMs)),
      longest(all.filter(({ isMixed }) => isMixed).map(({ recovery }) => recovery.everybodyMs)),
    ]);
  }
  rows.push(['ban', String(bans.length), '', '', longest(bans), '']);
  const slow = blows
    .filter(({ recovery }) => recovery.everybodyMs > slowMs)
    .map(({ fault, recovery: { everybodyMs, last } }) => `  ${fault} took ${everybodyMs} ms: in the end ${last}`);
  return [...table('longest recovery, in ms', rows), ...slow];
}

const slowMs = 3_000;

const longest = (times: number[]) => (times.length > 0 ? String(Math.round(Math.max(...times))) : '-');

type Weather = 'no fault' | 'Redis away' | 'other faults';

/**
 * The delays from the acknowledgement of a message to its delivery to each other member. A delivery before the
 * acknowledgement counts as 0.
 */
function delays({ sent, stays }: Evidence, blows: Blow[]): string[] {
  const stored = new Map<string, { at: number; node: number; user: string; weather: Weather }>();
  for (const { room, user, outcome } of sent) {
    if (outcome?.is !== 'stored' || outcome.duplicate) continue;
    const { rev, at, node } = outcome;
    stored.set(`${room} ${rev}`, { at, node, user, weather: weatherAt(at, blows) });
  }
  const byRow = new Map<string, number[]>();
  for (const stay of stays) {
    for (const { rev, at, live } of stay.applied) {
      const message = stored.get(`${stay.room} ${rev}`);
      if (!message || !live || message.user === stay.user) continue;
      const row = `${message.weather}, ${message.node === stay.node ? 'same node' : 'another node'}`;
      const times = byRow.get(row) ?? [];
      byRow.set(row, times);
      times.push(Math.max(0, at - message.at));
    }
  }
  const rows = [['', 'times', 'p50', 'p99', 'max']];
  for (const [name, times] of [...byRow].sort(([a], [b]) => (a < b ? -1 : 1))) {
    times.sort((a, b) => a - b);
    const at = (share: number) => String(Math.round(times[Math.floor((times.length - 1) * share)]!));
    rows.push([name, String(times.length), at(0.5), at(0.99), at(1)]);
  }
  return table('from the acknowledgement to the others, in ms', rows);
}

function weatherAt(at: number, blows: Blow[]): Weather {
  const on = blows.filter(
    ({ startedAt, endedAt, recovery }) => at >= startedAt && at <= endedAt + recovery.everybodyMs,
  );
  if (on.length === 0) return 'no fault';
  const during = on.every(({ fault, endedAt }) => fault.includes('redis') && at <= endedAt);
  return during ? 'Redis away' : 'other faults';
}

function table(title: string, rows: string[][]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: string[]) =>
    row.map((cell, n) => (n === 0 ? cell.padEnd(widths[n]!) : cell.padStart(widths[n]!))).join('  ');
  return [title, ...rows.map((row) => `  ${line(row)}`)];
}

const shown = 30;

/** The last lines of the report: the guarantees, and how often each was violated. */
export function verdictOf({ sent }: Evidence, violations: Violation[], seed: number): string[] {
  const times = (fault: Violation['fault']) => violations.filter((one) => one.fault === fault).length;
  const main = (['lost', 'doubled', 'reordered', 'leaked'] as const).map((fault) => `${times(fault)} ${fault}`);
  const others = (['altered', 'log', 'protocol', 'process'] as const).filter((fault) => times(fault) > 0);
  const all = [...main, ...others.map((fault) => `${times(fault)} ${fault}`)].join(', ');
  const stored = sent.filter(({ outcome }) => outcome?.is === 'stored').length;
  const list = violations.slice(0, shown).map(({ fault, what }) => `  ${fault}: ${what}`);
  if (violations.length > shown) list.push(`  … and ${violations.length - shown} more`);
  return [...list, `torture: ${stored} messages, seed ${seed}, ${all} — ${violations.length === 0 ? 'OK' : 'FAILED'}`];
}
