import type { Report } from './oracle.ts';
import type { Evidence, InboxSession, SeenItem } from './record.ts';
import type { RightsOverTime } from './rights-over-time.ts';
import type { Entry, RoomHistory } from './room-history.ts';

/**
 * How late an item may be. The promise is a second after the commit, and up to 10 s on a busy node; here, all nodes and
 * clients share few cores. The report has the longest lag.
 */
const maxLagMs = 12_000;

/** A time during which PostgreSQL did not answer, and the recovery from it. */
export interface Outage {
  from: number;
  to: number;
}

interface InboxFindings {
  /** The longest time from a commit outside outages to the first item that contains it, in ms. */
  longestLagMs: number;
  items: number;
}

/** Database times are on the clock of `Date.now`, the others on that of `performance.now`. */
const toMonotonic = (at: number) => at - performance.timeOrigin;

/** Checks what was told about read positions: one value for each version, and no way back without `force`. */
export function checkPositions(
  { positions, marks }: Evidence,
  { room, positions: stored }: RoomHistory,
  report: Report,
): void {
  const byUser = Map.groupBy(
    positions.filter((seen) => seen.room === room && seen.version > 0),
    ({ user }) => user,
  );
  for (const [user, seen] of byUser) {
    const values = new Map<number, number>();
    const row = stored.get(user);
    if (row?.readSeq !== undefined) values.set(row.version, row.readSeq);
    for (const { client, version, readSeq, what } of seen) {
      const known = values.get(version) ?? readSeq;
      values.set(version, known);
      const where = `${client} in room ${room} (${what})`;
      if (known !== readSeq)
        report('altered', `${where}: version ${version} of the position is ${known} and ${readSeq}`);
      if (version > (row?.version ?? 0))
        report('lost', `${where}: version ${version} of the position, stored is ${row?.version}`);
    }
    const asked = marks.filter((mark) => mark.room === room && mark.user === user);
    // The first mark makes the position, and moves it past own messages that were sent meanwhile; so may a second attempt.
    if ((row?.version ?? 0) > 2 * asked.length) {
      report('log', `room ${room}: ${user} asked ${asked.length} times, but the position has version ${row!.version}`);
    }
    const ordered = [...values].sort(([a], [b]) => a - b);
    for (const [n, [version, readSeq]] of ordered.entries()) {
      const before = ordered[n - 1];
      if (!before || readSeq >= before[1] || asked.some(({ force }) => force)) continue;
      report(
        'reordered',
        `room ${room}: the position of ${user} went back from ${before[1]} to ${readSeq} in version ${version}`,
      );
    }
  }
  const forcing = new Set(marks.filter(({ force }) => force).map(({ user }) => user));
  for (const { client, user, room: of, seq, done } of marks) {
    if (of !== room || !done || forcing.has(user)) continue;
    if (done.readSeq < seq)
      report('lost', `${client} in room ${room}: marked seq ${seq}, answered with ${done.readSeq}`);
  }
}

/** Checks that each commit reached the inboxes in time, and that the items at the end equal the database. */
export function checkInboxes(
  { inboxes, marks }: Evidence,
  history: RoomHistory,
  rights: RightsOverTime,
  outages: Outage[],
  report: Report,
): InboxFindings {
  const findings: InboxFindings = { longestLagMs: 0, items: 0 };
  const messages = history.entries.filter(({ kind }) => kind === 'message');
  const commits = new Map(history.entries.map(({ rev, at }) => [rev, toMonotonic(at)]));
  for (const inbox of inboxes) {
    const seen = inbox.rooms.get(history.room) ?? [];
    findings.items += seen.length;
    const check = (committedAt: number, isIn: (item: SeenItem) => boolean, what: string) => {
      const end = inbox.endedAt ?? Number.POSITIVE_INFINITY;
      if (committedAt < inbox.openedAt) return;
      const deadline = extend(committedAt + maxLagMs, committedAt, outages);
      const first = seen.find((item) => item.at >= committedAt - maxLagMs && isIn(item));
      const isCalm = !outages.some(({ from, to }) => committedAt >= from - maxLagMs && committedAt <= to);
      if (first && isCalm) findings.longestLagMs = Math.max(findings.longestLagMs, first.at - committedAt);
      if (end < deadline || (first && first.at <= deadline)) return;
      report(
        'lost',
        `the inbox of ${inbox.client}, room ${history.room}: ${what} ${first ? `came ${Math.round(first.at - committedAt)} ms after its commit` : 'never came'}`,
      );
    };
    for (const { rev, seq, at } of messages) {
      const lostAt = rights.canRead(inbox.user, rev) ? rights.firstWithoutRead(inbox.user, rev) : rev;
      const committedAt = toMonotonic(at);
      if (lostAt !== undefined && commits.get(lostAt)! < committedAt + 2 * maxLagMs) continue;
      check(committedAt, ({ lastSeq }) => lastSeq >= seq!, `seq ${seq}`);
    }
    for (const { room, user, done } of marks) {
      if (room !== history.room || user !== inbox.user || !done) continue;
      if (rights.firstWithoutRead(user, 1) !== undefined) continue;
      check(done.at, ({ version }) => version >= done.version, `version ${done.version} of the position`);
    }
    if (inbox.endedAt === undefined) checkFinal(inbox, seen, history, rights, report);
  }
  return findings;
}

/** An outage between the commit and the deadline postpones the deadline. */
function extend(deadline: number, committedAt: number, outages: Outage[]): number {
  return outages
    .filter(({ from, to }) => from <= deadline && to >= committedAt)
    .reduce((last, { to }) => Math.max(last, to + maxLagMs), deadline);
}

function checkFinal(
  { client, user, entity, removed }: InboxSession,
  seen: SeenItem[],
  { room, name, lastRev, lastSeq, entries, messages, positions }: RoomHistory,
  rights: RightsOverTime,
  report: Report,
): void {
  const item = seen.at(-1);
  const isShown = item !== undefined && !removed.some((one) => one.room === room && one.at >= item.at);
  const what = `at the end, the inbox of ${client}, room ${room}:`;
  if (isShown !== rights.canRead(user, lastRev)) {
    return report(isShown ? 'leaked' : 'lost', `${what} ${isShown ? 'is shown without r' : 'is missing'}`);
  }
  if (!isShown) return;
  const isForOthers = ([, message]: [number, { emitter: string; isDeleted: boolean }]) =>
    message.emitter !== user && !message.isDeleted;
  const counts = [...messages].filter(
    ([, { extras, isDeleted }]) => !extras.silent && extras.thread === undefined && !isDeleted,
  );
  const { readSeq } = item;
  const unread = counts.filter((one) => one[0] > readSeq && isForOthers(one)).length;
  const mentions = [...messages].filter(
    (one) =>
      one[0] > readSeq &&
      isForOthers(one) &&
      !one[1].extras.silent &&
      one[1].extras.mentions?.some((grantee) => grantee === user || grantee === entity),
  ).length;
  const last = counts.filter(([seq]) => seq > lastSeq - 200).sort(([a], [b]) => b - a)[0];
  const position = positions.get(user);
  const expected = {
    name,
    lastSeq,
    version: position?.version ?? 0,
    readSeq: position?.readSeq ?? readSeq,
    unread: lastSeq - readSeq > 500 ? 100 : Math.min(unread, 100),
    mentions: Math.min(mentions, 100),
    lastMessage: last && `${last[0]} ${last[1].content}`,
    activityAt: findActivity(entries, messages, user) ?? item.activityAt,
  };
  const { lastMessage } = item;
  const has = { ...item, lastMessage: lastMessage && `${lastMessage.seq} ${lastMessage.content}` };
  for (const field of Object.keys(expected) as (keyof typeof expected)[]) {
    if (has[field] !== expected[field]) report('altered', `${what} ${field} is ${has[field]}, not ${expected[field]}`);
  }
}

/** When the newest message was sent that is neither silent nor a reply, but not before the user's own rule was made. */
function findActivity(entries: Entry[], messages: RoomHistory['messages'], user: string): number | undefined {
  const newest = entries.findLast(({ kind, seq }) => {
    const extras = kind === 'message' && messages.get(seq!)?.extras;
    return extras && !extras.silent && extras.thread === undefined;
  });
  let ruleAt: number | undefined;
  for (const { rule, at } of entries) {
    if (rule?.grantee === user) ruleAt = rule.permissions === null ? undefined : (ruleAt ?? at);
  }
  return newest && Math.max(newest.at, ruleAt ?? 0);
}

/** Checks that no item has a message that was committed after the user lost the right to read, unless they got it back. */
export function checkInboxRights(
  { inboxes }: Evidence,
  history: RoomHistory,
  rights: RightsOverTime,
  report: Report,
): void {
  const bySeq = new Map(history.entries.flatMap((entry) => (entry.message ? [[entry.seq!, entry] as const] : [])));
  const commits = new Map(history.entries.map(({ rev, at }) => [rev, toMonotonic(at)]));
  for (const { client, user, rooms } of inboxes) {
    for (const { lastSeq, at } of rooms.get(history.room) ?? []) {
      const rev = bySeq.get(lastSeq)?.rev;
      const readAt = rev === undefined ? 0 : rights.firstWithRead(user, rev);
      if (readAt !== undefined && (commits.get(readAt) ?? 0) <= at) continue;
      report(
        'leaked',
        `the inbox of ${client}, room ${history.room}: seq ${lastSeq}, without r since rev ${rev} or before`,
      );
    }
  }
}
