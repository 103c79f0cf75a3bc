import { bareSocketio, bareWs, type Contender, service } from '../contenders.ts';
import { startLoad } from '../load/load.ts';
import { anonymousKibOf } from '../machine/cpu.ts';
import { atMost, figure, inTurn, type Scenario } from '../scenario.ts';
import type { Sample } from '../statistics.ts';

const connections = 1_000;
const rooms = 100;

/**
 * Measures silent connections that have joined a room. Each measurement has a fresh server, because freed memory is not
 * returned to the system.
 */
export const idle: Scenario = {
  name: 'idle',
  title: `${connections.toLocaleString('en-US')} idle connections, each in one of ${rooms} rooms`,
  async run(databases, { rounds, against }) {
    const kinds: { name: string; start: () => Promise<Contender> }[] = [
      { name: 'bare ws', start: bareWs },
      { name: 'nano-messaging /chat', start: async () => (await service(databases)).chat },
      { name: 'bare socket.io, in memory', start: bareSocketio },
      { name: 'nano-messaging Socket.IO', start: async () => (await service(databases)).socketio },
    ];
    if (against !== undefined) {
      const before = () => service(databases, { checkout: against });
      kinds.push({ name: 'nano-messaging /chat, before', start: async () => (await before()).chat });
      kinds.push({ name: 'nano-messaging Socket.IO, before', start: async () => (await before()).socketio });
    }
    const rows = await inTurn(kinds, rounds, async ({ start }) => memoryOf(await start(), connections));
    const mib = (name: string) => figure(rows, name, 'mib');
    const reaches = [
      atMost(1.2, '/chat ÷ bare ws', mib('nano-messaging /chat') / mib('bare ws')),
      atMost(0.9, 'Socket.IO ÷ bare socket.io', mib('nano-messaging Socket.IO') / mib('bare socket.io, in memory')),
    ];
    return { rows, reaches, faults: [] };
  },
};

/**
 * The memory in MiB that `connections` more connections add to a server that already has as many. The difference excludes the
 * size of the server itself.
 */
export async function memoryOf(contender: Contender, connections: number): Promise<Sample> {
  const [pid] = contender.pids as [number];
  const places = await contender.rooms(rooms);
  const load = startLoad();
  await load.open(members(contender, places, connections));
  const before = await settled(pid);
  await load.open(members(contender, places, 2 * connections));
  const after = await settled(pid);
  await load.close();
  process.kill(pid, 'SIGKILL');
  return { mib: (after - before) / 2 / 1_024 };
}

function members({ dialect, urls, tokens }: Contender, rooms: number[], connections: number) {
  const places = Array.from({ length: connections }, (_, n) => rooms[n % rooms.length]!);
  return { ...{ dialect, urls, atOnce: 32 }, tokens: tokens(connections), rooms: places };
}

/** The lowest of three measurements, each after a garbage collection. */
async function settled(pid: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let n = 0; n < 3; n++) {
    process.kill(pid, 'SIGUSR2');
    await new Promise((resolve) => setTimeout(resolve, 700));
    least = Math.min(least, anonymousKibOf(pid));
  }
  return least;
}
