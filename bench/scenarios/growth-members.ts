import { service } from '../contenders.ts';
import { countOf, type Entrant, enter, faultsIn, inTurn, type Scenario } from '../scenario.ts';

const sizes = [10, 100, 1_000, 5_000];
const senders = 8;
const window = 16;

/** What one delivery costs in small rooms and in large ones, at the rate at which everybody can hear. */
export const growthMembers: Scenario = {
  name: 'growth-members',
  title: 'One room at maximum rate, by its members',
  isExtra: true,
  async run(databases, { rounds, seconds }) {
    const all: { name: string; entrant: Entrant }[] = [];
    for (const dialect of ['chat', 'socketio'] as const) {
      for (const members of sizes) {
        // Nodes of their own: ten members are not to be measured beside thousands of other connections.
        const contender = (await service(databases))[dialect];
        const entrant = await enter(contender, { lines: members, rooms: await contender.rooms(1) });
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
