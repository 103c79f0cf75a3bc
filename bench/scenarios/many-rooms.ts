import { bareSocketioRedis, bareWs, services } from '../contenders.ts';
import { atLeast, countOf, type Entrant, enter, faultsIn, figure, inTurn, named, type Scenario } from '../scenario.ts';
import type { Sample } from '../statistics.ts';

const rooms = 200;
const membersEach = 5;
const mostP99Ms = 250;
/** The factors from each tried rate to the next: first coarse, then fine. */
const steps = [1.6, 1.12];
const settleSeconds = 1;

/** All members send, as in a company. Finds the highest rate at which 99 % of the deliveries take less than 250 ms. */
export const manyRooms: Scenario = {
  name: 'many-rooms',
  title: `${rooms} rooms × ${membersEach} members, all sending: the highest rate with p99 < ${mostP99Ms} ms`,
  async run(databases, { rounds, seconds, against }) {
    const { ours, all } = await services(databases, against);
    const [ws, bare] = [await bareWs(), await bareSocketioRedis(databases)];
    const entrants: Entrant[] = [];
    for (const contender of [ws, bare, ...all]) {
      entrants.push(await enter(contender, { connections: rooms * membersEach, rooms: await contender.rooms(rooms) }));
    }
    const found = new Map<string, number>();
    const rows = await inTurn(named(entrants), rounds, async ({ name, entrant }) => {
      const best = await highestRate(entrant, seconds, found.get(name) ?? 500);
      found.set(name, best.sendsPerSecond! / steps[0]!);
      return best;
    });
    const rate = (name: string) => figure(rows, name, 'sendsPerSecond');
    const reaches = [ours.chat, ours.socketio].map(({ name }) =>
      atLeast(0.9, `${name} ÷ bare socket.io + Redis`, rate(name) / rate(bare.name)),
    );
    return { rows, reaches, faults: faultsIn(rows) };
  },
};

async function highestRate(entrant: Entrant, seconds: number, from: number): Promise<Sample> {
  let best: Sample | undefined;
  let rate = from;
  for (const step of steps) {
    if (best) rate = best.sendsPerSecond! * step;
    for (;;) {
      const sample = await atRate(entrant, seconds, rate);
      const holds = sample.deliverP99Ms! < mostP99Ms && sample.sendsPerSecond! > rate * 0.97;
      if (!holds) break;
      best = sample;
      rate *= step;
    }
    if (!best) return highestRate(entrant, seconds, from / 2);
  }
  return best!;
}

async function atRate(entrant: Entrant, seconds: number, rate: number): Promise<Sample> {
  const connections = rooms * membersEach;
  await entrant.load.openLoop(settleSeconds, rate, connections);
  return countOf(entrant, (load) => load.openLoop(seconds, rate, connections));
}
