import { type Disturbance, findFrom, InboxBound } from './inbox-lag.ts';
import type { Report } from './oracle.ts';
import type { Evidence, InboxSession, Mark, SeenItem, Setting } from './record.ts';
import type { RightsOverTime } from './rights-over-time.ts';
import type { Entry, RoomHistory } from './room-history.ts';

/** Database times are on the clock of `Date.now`, the others on that of `performance.now`. */
const toMonotonic = (at: number) => at - performance.timeOrigin;
/** The two clocks may differ by this. */
const clockSkewMs = 100;

/** Checks what was told about read positions: one value for each version, and no way back without `force`. */
export function checkPositions(
  { positions, marks, settings }: Evidence,
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
    const asked = marks.filter((mark) => mark.room === room && mark.user === user);
    // Before the first mark, the position is where the user's rule begins, which moves if the rule is put again.
    const firstMark = Math.min(...asked.map(({ done }) => done?.version ?? Number.POSITIVE_INFINITY));
    if (row?.readSeq !== undefined) values.set(row.version, row.readSeq);
    for (const { client, version, readSeq, what } of seen) {
      const known = values.get(version) ?? readSeq;
      values.set(version, known);
      const where = `${client} in room ${room} (${what})`;
      if (known !== readSeq && version >= firstMark)
        report('altered', `${where}: version ${version} of the position is ${known} and ${readSeq}`);
      if (version > (row?.version ?? 0))
        report('lost', `${where}: version ${version} of the position, stored is ${row?.version}`);
    }
    const set = settings.filter((setting) => setting.room === room && setting.user === user);
    // The first mark makes the position, and moves it past own messages that were sent meanwhile; so may a second attempt.
    if ((row?.version ?? 0) > 2 * (asked.length + set.length)) {
      report(
        'log',
        `room ${room}: ${user} asked ${asked.length + set.length} times, but the position has version ${row!.version}`,
      );
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

interface InboxContext {
  evidence: Evidence;
  history: RoomHistory;
  rights: RightsOverTime;
  disturbances: readonly Disturbance[];
  /** Receives what is wrong about the user's own settings. */
  reportSetting: Report;
}

/** Checks that each commit reached the inboxes in time, and that the items at the end equal the database. */
export function checkInboxes(
  { evidence, history, rights, disturbances, reportSetting }: InboxContext,
  report: Report,
): void {
  const { room } = history;
  const bound = new InboxBound(evidence, disturbances);
  const committedLate = new Map(evidence.sent.map(({ clientMsgId, committedAt }) => [clientMsgId, committedAt]));
  const commits = new Map(
    history.entries.map(({ rev, at, message }) => [
      rev,
      committedLate.get(message?.clientMsgId ?? '') ?? toMonotonic(at),
    ]),
  );
  const writes: (Mark | Setting)[] = [...evidence.marks, ...evidence.settings];
  for (const inbox of evidence.inboxes) {
    const { client, user, openedAt, endedAt = Number.POSITIVE_INFINITY } = inbox;
    const seen = inbox.rooms.get(room) ?? [];
    evidence.inboxItems += seen.length;
    /** `until` is the time from which on the inbox need not show it. */
    const check = (
      committedAt: number,
      until: number,
      isIn: (item: { at: number } & Partial<SeenItem>) => boolean,
      what: string,
      events: { at: number }[] = seen,
    ) => {
      if (committedAt < openedAt) return;
      const deadline = bound.getDeadline(committedAt, seen);
      let next = findFrom(events, committedAt - clockSkewMs);
      while (next < events.length && !isIn(events[next]!)) next += 1;
      const first = events[next];
      if (first) {
        const kind = bound.describe(committedAt, first.at);
        const lags = evidence.inboxLags.get(kind) ?? [];
        evidence.inboxLags.set(kind, lags);
        lags.push(first.at - committedAt);
      }
      if (Math.min(endedAt, until) < deadline || (first && first.at <= deadline)) return;
      const came = first
        ? `came ${Math.round(first.at - committedAt)} ms after its commit, due after ${Math.round(deadline - committedAt)} ms`
        : 'never came';
      report('lost', `the inbox of ${client}, room ${room}: ${what} ${came}`);
    };
    const timeOf = (rev: number | undefined) => (rev === undefined ? Number.POSITIVE_INFINITY : commits.get(rev)!);
    for (const { rev, seq, kind, rule } of history.entries) {
      const committedAt = commits.get(rev)!;
      const mayRead = rights.canRead(user, rev);
      if (kind === 'message' && mayRead) {
        const lostAt = timeOf(rights.firstWithoutRead(user, rev));
        check(committedAt, lostAt, ({ lastSeq }) => lastSeq! >= seq!, `seq ${seq}`);
      }
      if (!rule || mayRead === rights.canRead(user, rev - 1)) continue;
      if (mayRead) {
        const lostAt = timeOf(rights.firstWithoutRead(user, rev));
        check(committedAt, lostAt, ({ at }) => at >= committedAt - clockSkewMs, `the room, readable since rev ${rev}`);
      } else if (isShown(inbox, room, committedAt)) {
        const regainedAt = timeOf(rights.firstWithRead(user, rev));
        const removals = inbox.removed.filter((one) => one.room === room);
        check(committedAt, regainedAt, () => true, `the removal of the room, not readable since rev ${rev},`, removals);
      }
    }
    for (const { room: of, user: by, done } of writes) {
      if (of !== room || by !== user || !done) continue;
      const before = history.entries.findLast(({ rev }) => commits.get(rev)! <= done.at)?.rev ?? 0;
      const lostAt = timeOf(rights.firstWithoutRead(user, before));
      check(done.at, lostAt, (item) => item.version! >= done.version, `version ${done.version} of the position`);
    }
    if (inbox.endedAt === undefined) checkFinal(inbox, seen, history, rights, { report, reportSetting });
  }
}

/** Whether the inbox shows the room at this time, or later. */
function isShown({ rooms, removed }: InboxSession, room: number, at: number): boolean {
  const item = rooms.get(room)?.findLast((one) => one.at <= at);
  return item !== undefined && !removed.some((one) => one.room === room && one.at >= item.at && one.at < at);
}

function checkFinal(
  { client, user, entity, removed }: InboxSession,
  seen: SeenItem[],
  { room, name, lastRev, lastSeq, entries, messages, positions }: RoomHistory,
  rights: RightsOverTime,
  { report, reportSetting }: { report: Report; reportSetting: Report },
): void {
  const item = seen.at(-1);
  const isThere = item !== undefined && !removed.some((one) => one.room === room && one.at >= item.at);
  const what = `at the end, the inbox of ${client}, room ${room}:`;
  const position = positions.get(user);
  if (isThere !== rights.canRead(user, lastRev)) {
    // Pages leave hidden rooms out.
    if (!isThere && position?.hiddenSeq !== undefined) return;
    return report(isThere ? 'leaked' : 'lost', `${what} ${isThere ? 'is shown without r' : 'is missing'}`);
  }
  if (!isThere) return;
  const isForOthers = ([, message]: [number, { emitter: string; isDeleted: boolean }]) =>
    message.emitter !== user && !message.isDeleted;
  const counts = [...messages].filter(
    ([, { extras, isDeleted }]) => !extras.silent && extras.thread === undefined && !isDeleted,
  );
  const { readSeq } = item;
  const countUnread = (after: number) =>
    lastSeq - after > 500 ? 100 : Math.min(counts.filter((one) => one[0] > after && isForOthers(one)).length, 100);
  const mentions = [...messages].filter(
    (one) =>
      one[0] > readSeq &&
      isForOthers(one) &&
      !one[1].extras.silent &&
      one[1].extras.mentions?.some((grantee) => grantee === user || grantee === entity),
  ).length;
  const last = counts.filter(([seq]) => seq > lastSeq - 200).sort(([a], [b]) => b - a)[0];
  const expected = {
    name,
    lastSeq,
    version: position?.version ?? 0,
    readSeq: position?.readSeq ?? readSeq,
    unread: countUnread(readSeq),
    muted: position?.muted ?? false,
    hidden: position?.hiddenSeq !== undefined && countUnread(position.hiddenSeq) === 0,
    mentions: Math.min(mentions, 100),
    lastMessage: last && `${last[0]} ${last[1].content}`,
    activityAt: findActivity(entries, messages, user) ?? item.activityAt,
  };
  const { lastMessage } = item;
  const has = { ...item, lastMessage: lastMessage && `${lastMessage.seq} ${lastMessage.content}` };
  for (const field of Object.keys(expected) as (keyof typeof expected)[]) {
    if (has[field] === expected[field]) continue;
    const tell = field === 'muted' || field === 'hidden' ? reportSetting : report;
    tell('altered', `${what} ${field} is ${has[field]}, not ${expected[field]}`);
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
