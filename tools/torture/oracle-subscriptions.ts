import type { Report } from './oracle.ts';
import { type Applied, getPosition, type Subscription } from './record.ts';
import type { RightsOverTime } from './rights-over-time.ts';
import type { Entry, RoomHistory } from './room-history.ts';

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
  const { room, user, joinedRev, from, end } = subscription;
  const who = `${subscription.client} (${subscription.transport}) in room ${room}, joined at rev ${joinedRev}`;
  const position = getPosition(subscription);
  const banned = rights.firstWithoutRead(user, joinedRev);
  const until = lastDue(subscription, history.lastRev, banned);
  const top = subscription.applied.reduce((highest, { rev }) => Math.max(highest, rev), until ?? 0);
  const due = between(history.entries, from, top).filter(
    ({ message }) => message || subscription.transport === 'socketio',
  );
  compare(subscription, due, who, report);
  if (banned !== undefined) {
    for (const { rev } of subscription.applied) {
      if (rev > Math.max(banned, joinedRev))
        report('leaked', `${who}: received rev ${rev}, without r since rev ${banned}`);
    }
    if (banned === joinedRev) report('leaked', `${who}: joined without r`);
  }

  const missing = until === undefined ? [] : due.filter(({ rev }) => rev > position && rev <= until!);
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

function compare({ applied, from, resumes }: Subscription, due: Entry[], who: string, report: Report): void {
  if (resumes && getPosition(resumes) !== from) {
    report(
      'lost',
      `${who}: continues from rev ${from}, but the previous subscription ended at rev ${getPosition(resumes)}`,
    );
  }
  const dueByRev = new Map(due.map((entry) => [entry.rev, entry]));
  const received = new Set<number>();
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
    alike(change, entry, who, report);
    if (rev < position) {
      report('reordered', `${who}: rev ${rev} after rev ${position}`);
      continue;
    }
    position = rev;
    for (; due[next] !== entry; next++) {
      if (!applied.some((other) => other.rev === due[next]!.rev)) {
        report('lost', `${who}: rev ${rev} without rev ${due[next]!.rev} before it`);
      }
    }
    next += 1;
  }
}

function alike({ rev, seq, text }: Applied, entry: Entry, who: string, report: Report): void {
  if (seq === entry.seq && text === entry.text) return;
  report('altered', `${who}: rev ${rev} delivered as ${text} (seq ${seq}), stored as ${entry.text} (seq ${entry.seq})`);
}
