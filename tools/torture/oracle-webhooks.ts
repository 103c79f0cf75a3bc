import type { Disturbance } from './inbox-lag.ts';
import { describeFaults } from './inbox-lag.ts';
import type { Report } from './oracle.ts';
import { findProblem } from './oracle-subscriptions.ts';
import type { Applied, ConsumedChange, Delivery, Evidence } from './record.ts';
import type { RoomHistory } from './room-history.ts';

/**
 * Checks that each consumer has received every change of the room at least once, in the order of the log, and as it is
 * stored. Only accepted requests count.
 */
export function checkConsumers(
  { consumers, consumerDelays, duplicates }: Evidence,
  history: RoomHistory,
  disturbances: readonly Disturbance[],
  report: Report,
): void {
  const { room, entries, lastRev } = history;
  for (const [name, deliveries] of consumers) {
    const who = `the ${name}, room ${room}`;
    const versions = new Map<number, number>();
    const cursors = new Map<number, string>();
    let position = -1;
    for (const { at, changes, isAccepted } of deliveries as Delivery[]) {
      if (!isAccepted) continue;
      let previous: number | undefined;
      for (const change of changes) {
        if (change.room !== room) continue;
        const { rev, cursor } = change;
        if (previous !== undefined && rev !== previous + 1) {
          report('reordered', `${who}: rev ${rev} after rev ${previous} in one request`);
        } else if (rev > position + 1) report('lost', `${who}: rev ${rev} at rev ${position}`);
        previous = rev;
        const known = cursors.get(rev);
        cursors.set(rev, cursor);
        if (known !== undefined) {
          duplicates.set(name, (duplicates.get(name) ?? 0) + 1);
          if (known !== cursor) report('altered', `${who}: rev ${rev} has the cursors ${known} and ${cursor}`);
        }
        const problem = checkChange(change, history, versions);
        if (problem) report('altered', `${who}: rev ${rev} ${problem}`);
        if (rev <= position) continue;
        position = rev;
        const entry = entries[rev - 1];
        if (!entry) continue;
        const committedAt = entry.at - performance.timeOrigin;
        const kind = describeFaults(disturbances, committedAt, at);
        const row = consumerDelays.get(`${name}, ${kind}`) ?? [];
        consumerDelays.set(`${name}, ${kind}`, row);
        row.push(Math.max(0, at - committedAt));
      }
    }
    if (position < lastRev) report('lost', `${who}: ends at rev ${position} of ${lastRev}`);
  }
}

/** A consumer gets each change as a client that has missed it. */
function checkChange(change: ConsumedChange, history: RoomHistory, versions: Map<number, number>): string | undefined {
  const { rev, name, seq, version } = change;
  if (name === 'room.created') return rev === 0 ? undefined : 'is the creation of the room';
  const entry = history.entries[rev - 1];
  if (!entry || name === 'room.deleted') return `is delivered as ${name}, but is not in the log`;
  const problem = findProblem({ ...change, name, at: 0, live: false } as Applied, entry, history, versions);
  if (seq !== undefined && version !== undefined) versions.set(seq, Math.max(version, versions.get(seq) ?? 0));
  return problem;
}
