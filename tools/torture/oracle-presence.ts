import type { Report } from './oracle.ts';
import type { Evidence, Stay, Subscription } from './record.ts';
import { DelayIndex } from './strain.ts';

/** Leaving takes effect after 10 s, and the users of a dead node are gone within 30 s. */
export const promisedMs = 30_000;
/** The interval between two events. */
const eventIntervalMs = 2_000;
const hops = 5;

/**
 * Checks that nobody is shown in a room for longer than the protocol allows after they left it, and that nobody who stays
 * is missing for as long, unless the set is marked as partial.
 */
export function checkPresence(evidence: Evidence, report: Report): void {
  const delays = new DelayIndex(evidence.delays);
  const byRoom = Map.groupBy(evidence.subscriptions, ({ room }) => room);
  const otherStays = Map.groupBy(evidence.stays, ({ room }) => room);
  const lastAt = evidence.endedAt;
  for (const [room, subscriptions] of byRoom) {
    const certain = Map.groupBy(
      subscriptions.map((one) => toStay(one, lastAt)),
      ({ user }) => user,
    );
    const possible = Map.groupBy(
      [...subscriptions.map((one) => toLongestStay(one, lastAt)), ...(otherStays.get(room) ?? [])],
      ({ user }) => user,
    );
    for (const subscription of subscriptions) {
      const { client, presence = [], end } = subscription;
      const who = `${client} in room ${room}`;
      const until = end?.at ?? lastAt;
      const missingSince = new Map<string, number>();
      const told = new Set<string>();
      const tell = (fault: 'leaked' | 'lost', user: string, what: string) => {
        if (told.has(user)) return;
        told.add(user);
        report(fault, `${who}: ${user} ${what}`);
      };
      for (const [n, { at, users, isPartial }] of presence.entries()) {
        const to = presence[n + 1]?.at ?? until;
        const bound = (from: number) => promisedMs + eventIntervalMs + hops * delays.longest(from, to);
        for (const user of users) {
          if (evidence.users.get(user)?.hidesPresence) tell('leaked', user, 'is shown, but their tokens hide it');
          const left = Math.max(
            0,
            ...(possible.get(user) ?? []).filter(({ from }) => from <= to).map((stay) => stay.to),
          );
          if (to - left > bound(left)) tell('leaked', user, `is shown ${Math.round(to - left)} ms after they left`);
        }
        if (isPartial) {
          missingSince.clear();
          continue;
        }
        const shown = new Set(users);
        for (const [user, stays] of certain) {
          if (shown.has(user) || evidence.users.get(user)?.hidesPresence) {
            missingSince.delete(user);
            continue;
          }
          const since = missingSince.get(user) ?? at;
          missingSince.set(user, since);
          for (const stay of stays) {
            const from = Math.max(since, stay.from);
            const last = Math.min(to, stay.to);
            if (last - from > bound(from)) tell('lost', user, `is missing for ${Math.round(last - from)} ms`);
          }
        }
      }
    }
  }
}

const toStay = ({ room, user, startedAt, end }: Subscription, lastAt: number): Stay => ({
  ...{ room, user },
  ...{ from: startedAt, to: end?.at ?? lastAt },
});

/** From the request to the time at which the server learns of the end. */
const toLongestStay = ({ room, user, askedAt, end }: Subscription, lastAt: number): Stay => ({
  ...{ room, user },
  ...{ from: askedAt, to: end ? Math.max(end.at, end.noticedBy ?? 0) : lastAt },
});

/**
 * Compares the presence that clients show with the users in the rooms. A user who has left may be shown
 * for as long as the protocol allows.
 */
export function findPresenceProblems({ subscriptions, stays, users }: Evidence, now: number): string[] {
  const open = subscriptions.filter(({ end }) => !end);
  const recent = [...subscriptions.map((one) => toLongestStay(one, now)), ...stays].filter(
    ({ to }) => to > now - promisedMs,
  );
  const toKey = ({ room, user }: { room: number; user: string }) => `${room} ${user}`;
  const mayShow = new Set(recent.map(toKey));
  const byRoom = Map.groupBy(open, ({ room }) => room);
  return open.flatMap(({ client, room, presence }) => {
    const last = presence?.at(-1);
    if (!last) return [];
    const who = `${client} in room ${room}`;
    const shown = new Set(last.users);
    const expected = new Set(byRoom.get(room)!.map(({ user }) => user));
    return [
      ...(last.isPartial ? [`${who} has a partial presence`] : []),
      ...[...expected]
        .filter((user) => !shown.has(user) && !users.get(user)?.hidesPresence)
        .map((user) => `${who} is not shown ${user}`),
      ...[...shown]
        .filter((user) => !mayShow.has(toKey({ room, user })))
        .map((user) => `${who} is still shown ${user}`),
    ];
  });
}
