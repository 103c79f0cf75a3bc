import type { Report } from './oracle.ts';
import type { Evidence } from './record.ts';

/** 6 s after the last `true`, and what a set of another node and the interval between two events take. */
const promisedMs = 7_000;
/** Here, many processes share few cores. */
const slackMs = 2_000;

/** Checks that each user disappeared in time. Returns the longest time after the last `true` in ms. */
export function checkTyping({ typing, typed }: Evidence, report: Report): number {
  let longest = 0;
  for (const { client, room, user, to } of typing) {
    const last = typed.get(`${room} ${user}`)?.findLast((at) => at <= to);
    if (last === undefined) {
      // The answer to the request may arrive after the event.
      if (!typed.has(`${room} ${user}`))
        report('altered', `${client} in room ${room}: ${user} is shown as typing, but never typed`);
      continue;
    }
    longest = Math.max(longest, to - last);
    if (to - last <= promisedMs + slackMs) continue;
    report(
      'lost',
      `${client} in room ${room}: ${user} is shown as typing ${Math.round(to - last)} ms after they said so`,
    );
  }
  return longest;
}
