import { service } from '../contenders.ts';
import { inTurn, type Scenario } from '../scenario.ts';
import { fill, requests } from './history.ts';

const sizes = [10_000, 1_000_000];
const limit = 50;

/** Compares pages of short and long histories. */
export const growthHistory: Scenario = {
  name: 'growth-history',
  title: `${limit} messages over HTTP, by the messages of the room`,
  isExtra: true,
  async run(databases, { rounds, seconds }) {
    const ours = await service(databases);
    const rooms = await ours.rooms(sizes.length);
    const asks: { name: string; url: string }[] = [];
    for (const [n, size] of sizes.entries()) {
      await fill(ours, rooms[n]!, size);
      const first = `${ours.urls[0]}/rooms/${rooms[n]}/messages?limit=${limit}`;
      const messages = `${size.toLocaleString('en-US')} messages`;
      asks.push({ name: `${messages}, first page`, url: first });
      asks.push({ name: `${messages}, page at half`, url: `${first}&before=${size / 2}` });
    }
    const measure = ({ url }: { url: string }) =>
      requests(url, ours.owner.token, seconds, [...ours.pids, ...ours.behind]);
    for (const ask of asks) await measure(ask);
    return { rows: await inTurn(asks, rounds, measure), reaches: [], faults: [] };
  },
};
