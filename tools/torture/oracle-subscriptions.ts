import type { Report } from './oracle.ts';
import { type Applied, type ChangeName, deltasText, getPosition, type Subscription } from './record.ts';
import type { RightsOverTime } from './rights-over-time.ts';
import type { Entry, EntryKind, RoomHistory } from './room-history.ts';

/**
 * Checks one subscription against the log: all changes from its start to its end, each exactly once, in order, and none
 * after a ban.
 */
export function checkSubscription(
  subscription: Subscription,
  history: RoomHistory,
  rights: RightsOverTime,
  report: Report,
): void {
  const { user, joinedRev, from, end } = subscription;
  const who = describe(subscription);
  const isMissed = (entry: Entry) => !mayMiss(subscription, entry, history);
  const position = getPosition(subscription);
  const banned = rights.firstWithoutRead(user, joinedRev);
  const until = lastDue(subscription, history.lastRev, banned);
  const top = subscription.applied.reduce((highest, { rev }) => Math.max(highest, rev), until ?? 0);
  const due = between(history.entries, from, top).filter(({ message }) => message || subscription.transport !== 'chat');
  compare(subscription, due, history, report);
  if (banned !== undefined) {
    for (const { rev } of subscription.applied) {
      if (rev > Math.max(banned, joinedRev))
        report('leaked', `${who}: received rev ${rev}, without r since rev ${banned}`);
    }
    if (banned === joinedRev) report('leaked', `${who}: joined without r`);
  }

  const missing =
    until === undefined ? [] : due.filter((entry) => entry.rev > position && entry.rev <= until! && isMissed(entry));
  if (missing.length > 0) {
    const last = missing.at(-1)!.rev;
    report(
      'lost',
      `${who}: reached rev ${position}, not ${last}; ${end ? `${end.how} ${end.code ?? ''}` : 'still subscribed'}`,
    );
  }
  if (end?.how === 'removed' && banned === undefined) report('protocol', `${who}: removed (${end.code}), but has r`);
  if (!end && banned !== undefined) report('leaked', `${who}: still subscribed, without r since rev ${banned}`);
}

/**
 * The entries with `after` < rev <= `until`. Uses a binary search, because a log can be long and is checked for many
 * subscriptions.
 */
function between(entries: Entry[], after: number, until: number): Entry[] {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (entries[middle]!.rev <= after) low = middle + 1;
    else high = middle;
  }
  let end = low;
  while (end < entries.length && entries[end]!.rev <= until) end += 1;
  return entries.slice(low, end);
}

/**
 * The `rev` that a subscription must have reached. Undefined if the connection was cut, because any prefix is correct
 * then.
 */
function lastDue(
  { end, transport, joinedRev }: Subscription,
  lastRev: number,
  banned: number | undefined,
): number | undefined {
  if (!end) return banned === undefined ? lastRev : banned - 1;
  if (end.how === 'removed' && banned !== undefined) return banned - 1;
  // The missed changes are part of the acknowledgement on Socket.IO, but follow it on /chat.
  return transport === 'socketio' ? joinedRev : undefined;
}

const describe = ({ client, transport, room, joinedRev }: Subscription) =>
  `${client} (${transport}) in room ${room}, joined at rev ${joinedRev}`;

/** On `/chat`, a missed message that was deleted meanwhile is left out. */
function mayMiss({ transport }: Subscription, { seq }: Entry, { messages }: RoomHistory): boolean {
  return transport === 'chat' && (messages.get(seq!)?.isDeleted ?? false);
}

function compare(subscription: Subscription, due: Entry[], history: RoomHistory, report: Report): void {
  const { applied, from, resumes } = subscription;
  const who = describe(subscription);
  if (resumes && getPosition(resumes) !== from) {
    report(
      'lost',
      `${who}: continues from rev ${from}, but the previous subscription ended at rev ${getPosition(resumes)}`,
    );
  }
  const dueByRev = new Map(due.map((entry) => [entry.rev, entry]));
  const received = new Set<number>();
  const versions = new Map<number, number>();
  let next = 0;
  let position = from;
  for (const change of applied) {
    const { rev } = change;
    const entry = dueByRev.get(rev);
    if (received.has(rev) || (rev <= from && !entry)) {
      report('duplicated', `${who}: rev ${rev} again, at rev ${position}`);
      continue;
    }
    received.add(rev);
    if (!entry) {
      report('altered', `${who}: rev ${rev} is not in the log`);
      continue;
    }
    const problem = findProblem(change, entry, history, versions);
    if (problem) report('altered', `${who}: rev ${rev} ${problem}`);
    if (entry.seq !== undefined && change.version) versions.set(entry.seq, change.version);
    if (rev < position) {
      report('reordered', `${who}: rev ${rev} after rev ${position}`);
      continue;
    }
    position = rev;
    for (; due[next] !== entry; next++) {
      const other = due[next]!;
      if (!applied.some((one) => one.rev === other.rev) && !mayMiss(subscription, other, history)) {
        report('lost', `${who}: rev ${rev} without rev ${other.rev} before it`);
      }
    }
    next += 1;
  }
}

/** The events that may announce an entry. In a replay, the first entry of a message gives its present state. */
const namesByKind: { [K in EntryKind]: ChangeName[] } = {
  message: ['message:new'],
  edit: ['message:changed', 'change:skipped'],
  deletion: ['message:changed', 'change:skipped'],
  reactions: ['reaction:changed', 'message:changed', 'change:skipped'],
  member: ['member:changed'],
  room: ['room:changed'],
};

/** `versions` are those of the messages that the subscription has received before. */
export function findProblem(
  { rev, name, seq, version, text }: Applied,
  entry: Entry,
  { lastRev }: RoomHistory,
  versions: Map<number, number>,
): string | undefined {
  const { kind } = entry;
  const stored = `stored as ${kind} of seq ${entry.seq}`;
  if (!namesByKind[kind].includes(name) || (name !== 'change:skipped' && seq !== entry.seq)) {
    return `delivered as ${name} of seq ${seq}, ${stored}`;
  }
  if (kind === 'member' || kind === 'room') {
    return text === entry.text ? undefined : `delivered as ${text}, stored as ${entry.text}`;
  }
  if (name === 'change:skipped') {
    const given = versions.get(entry.seq!);
    const isGiven = given !== undefined && (kind === 'reactions' || given >= rev);
    return isGiven ? undefined : `skipped, ${stored}, but the message was given as version ${given}`;
  }
  if (name === 'reaction:changed') {
    // The entries of a deleted message are wiped.
    const changes = deltasText(entry.changes!);
    return changes === '' || text.endsWith(`; ${changes}`) ? undefined : `delivered as ${text}, stored as ${changes}`;
  }
  const oldest = kind === 'reactions' ? 1 : rev;
  return version! >= oldest && version! <= lastRev ? undefined : `delivered as version ${version}, ${stored}`;
}
