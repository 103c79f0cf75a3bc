import type { Report } from './oracle.ts';
import type { Evidence } from './record.ts';
import { DelayIndex } from './strain.ts';

/** 6 s after the last `true`, and what a set of another node and the interval between two events take. */
const promisedMs = 7_000;
/** A congested connection misses an event, and gets the next. */
const slackMs = 2_000;
/** On a slow machine, everything on the way takes longer. */
const hops = 5;

/** Checks that each user disappeared in time. Returns the longest time after the last `true` in ms. */
export function checkTyping({ typing, typed, delays }: Evidence, report: Report): number {
  const index = new DelayIndex(delays);
  let longest = 0;
  for (const { client, room, user, to } of typing) {
    const before = typed.get(`${room} ${user}`)?.filter((request) => request.from <= to) ?? [];
    if (before.length === 0) {
      report('altered', `${client} in room ${room}: ${user} is shown as typing, but has not typed`);
      continue;
    }
    const last = Math.min(to, Math.max(...before.map((request) => request.to)));
    longest = Math.max(longest, to - last);
    if (to - last <= promisedMs + slackMs + hops * index.longest(last, to)) continue;
    report(
      'lost',
      `${client} in room ${room}: ${user} is shown as typing ${Math.round(to - last)} ms after they said so`,
    );
  }
  return longest;
}
