import { service } from '../contenders.ts';
import { countOf, type Entrant, enter, faultsIn, inTurn, type Scenario } from '../scenario.ts';

const sizes = [10, 100, 1_000, 5_000];
const senders = 8;
const window = 16;

/** Compares the cost of a delivery in small and large rooms, at the maximum rate that all members can follow. */
export const growthMembers: Scenario = {
  name: 'growth-members',
  title: 'One room at maximum rate, by its members',
  isExtra: true,
  async run(databases, { rounds, seconds }) {
    const all: { name: string; entrant: Entrant }[] = [];
    for (const dialect of ['chat', 'socketio'] as const) {
      for (const members of sizes) {
        // Each size has its own node, so that other connections do not affect the measurement.
        const contender = (await service(databases))[dialect];
        const entrant = await enter(contender, { connections: members, rooms: await contender.rooms(1) });
        all.push({ name: `${contender.name}, ${members.toLocaleString('en-US')} members`, entrant });
      }
    }
    const measure = ({ entrant }: { entrant: Entrant }) =>
      countOf(entrant, (load) => load.fullDelivery(seconds, senders, window));
    for (const one of all) await measure(one);
    const rows = await inTurn(all, rounds, measure);
    return { rows, reaches: [], faults: faultsIn(rows) };
  },
};
