import { setTimeout as pause } from 'node:timers/promises';
import { type Contender, service } from '../contenders.ts';
import { type Load, startLoad } from '../load/load.ts';
import { anonymousKibOf } from '../machine/cpu.ts';
import { type Row, type Scenario, together } from '../scenario.ts';
import type { Sample } from '../statistics.ts';

const sizes = [1_000, 5_000, 10_000];
const step = 1_000;
const rooms = 100;

/** Measures silent connections that have joined a room, with a fresh server for each transport and round. */
export const growthMemory: Scenario = {
  name: 'growth-memory',
  title: `Memory of the server by its idle connections, each in one of ${rooms} rooms`,
  isExtra: true,
  async run(databases, { rounds }) {
    const rows: Row[] = [];
    for (const dialect of ['chat', 'socketio'] as const) {
      const names = sizes.map((size) => `${dialects[dialect]}, ${size.toLocaleString('en-US')} connections`);
      const measure = async () => memoryOf((await service(databases))[dialect]);
      rows.push(...(await together(names, rounds, measure)));
    }
    return { rows, reaches: [], faults: [] };
  },
};

const dialects = { chat: '/chat', socketio: 'Socket.IO' };

/**
 * Measures the memory at each size, and the memory that further connections add to a server with a thousand. The
 * difference excludes the size of the server itself and everything that it compiles and allocates for its first
 * connections.
 */
async function memoryOf(contender: Contender): Promise<Sample[]> {
  const [pid] = contender.pids as [number];
  const load = startLoad();
  const openUpTo = await opening(contender, load);
  const samples: Sample[] = [];
  let first: number | undefined;
  for (const size of sizes) {
    await openUpTo(size);
    const inAll = await settledMibOf(pid);
    first ??= inAll;
    await openUpTo(size + step);
    const added = (await settledMibOf(pid)) - first;
    samples.push({ mibPerThousand: (added * 1_000) / (size + step - sizes[0]!), mibInAll: inAll });
  }
  const failures = await load.failures();
  for (const ended of [load.pid, pid]) process.kill(ended, 'SIGKILL');
  if (failures.length > 0) throw new Error(`Connections did not stay: ${failures.join(', ')}`);
  return samples;
}

async function opening({ dialect, urls, ...contender }: Contender, load: Load) {
  const all = await contender.rooms(rooms);
  let open = 0;
  return async (connections: number): Promise<void> => {
    const places = Array.from({ length: connections - open }, (_, n) => all[n % rooms]!);
    await load.open({ ...{ dialect, urls, atOnce: 32 }, tokens: contender.tokens(connections - open), rooms: places });
    open = connections;
  };
}

const leastFall = 0.01;

/** Collects garbage until the memory no longer shrinks. */
export async function settledMibOf(pid: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let calm = 0; calm < 3; ) {
    process.kill(pid, 'SIGUSR2');
    await pause(1_000);
    const now = anonymousKibOf(pid);
    calm = now < least * (1 - leastFall) ? 0 : calm + 1;
    least = Math.min(least, now);
  }
  return least / 1_024;
}
