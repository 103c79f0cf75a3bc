import { setTimeout as pause } from 'node:timers/promises';
import { restCalls } from '../../test/helpers/rest-calls.ts';
import { service } from '../contenders.ts';
import { startDatabases } from '../databases.ts';
import { cpuMsOf } from '../machine/cpu.ts';
import { countOf, type Entrant, enter, faultsIn, inTurn, type Scenario, together } from '../scenario.ts';
import type { Sample } from '../statistics.ts';

const counts = [1, 100, 10_000];
const senders = 64;
/** The interval of pings: each connection is pinged once, and all rooms are reconciled a dozen times. */
const idleSeconds = 25;

interface Node {
  name: string;
  rooms: number;
  senders: Entrant;
}

/**
 * Measures the same senders on nodes that serve few or many rooms over /chat, and the CPU use of these nodes when idle.
 */
export const growthRooms: Scenario = {
  name: 'growth-rooms',
  title: `Confirmed sends, ${senders} senders, closed loop, by the rooms that the node serves`,
  isExtra: true,
  async run(_stand, { rounds, seconds }) {
    const nodes: Node[] = [];
    for (const rooms of counts) nodes.push(await nodeThatServes(rooms));
    const names = nodes.map(({ rooms }) => `${rooms.toLocaleString('en-US')} served, nobody sends`);
    const idle = await together(names, rounds, () => idleCpuOf(nodes));
    const measure = (node: Node) => countOf(node.senders, (load) => load.closedLoop(seconds, senders, 1));
    for (const node of nodes) await measure(node);
    const rows = await inTurn(nodes, rounds, measure);
    const faults = faultsIn(rows);
    for (const { name, rooms, senders } of nodes) {
      const served = await servedRooms(senders.contender.urls[0]!);
      if (served !== rooms) faults.push(`${name}: ${served} served`);
    }
    return { rows: [...rows, ...idle], reaches: [], faults };
  },
};

/** Opens one connection in each room. The senders share the first rooms if there are fewer rooms than senders. */
async function nodeThatServes(count: number): Promise<Node> {
  // Each node has its own databases, so that the CPU time of its reconciliation does not count for the other nodes.
  const { chat, query } = await service(await startDatabases());
  const rooms = await chat.rooms(count);
  const [first, others] = [rooms.slice(0, senders), rooms.slice(senders)];
  const entrant = await enter(chat, { connections: senders, rooms: first });
  await enter(chat, { connections: others.length, rooms: others });
  await query('vacuum analyze');
  await query('checkpoint');
  const name = `${count.toLocaleString('en-US')} served`;
  return { name: count === 1 ? `${name}, all senders in it` : name, rooms: count, senders: entrant };
}

/** Measures all nodes at the same time: idle nodes do not disturb each other. */
async function idleCpuOf(nodes: readonly Node[]): Promise<Sample[]> {
  const before = nodes.map(cpuOf);
  await pause(idleSeconds * 1_000);
  return nodes.map(cpuOf).map(({ server, databases }, n) => ({
    serverMsPerSecond: (server - before[n]!.server) / idleSeconds,
    databasesMsPerSecond: (databases - before[n]!.databases) / idleSeconds,
  }));
}

function cpuOf({ senders: { contender } }: Node): { server: number; databases: number } {
  return { server: cpuMsOf(contender.pids), databases: cpuMsOf(contender.behind) };
}

async function servedRooms(url: string): Promise<number> {
  const { body } = await restCalls(url).get('/metrics');
  return Number(/^nano_messaging_active_rooms (\d+)/m.exec(body)?.[1]);
}
