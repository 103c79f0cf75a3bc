import { bareSocketio, bareWs, type Contender, services } from '../contenders.ts';
import { startLoad } from '../load/load.ts';
import { cpuMsOf } from '../machine/cpu.ts';
import { atLeast, figure, inTurn, type Scenario } from '../scenario.ts';
import type { Sample } from '../statistics.ts';

const connections = 1_000;
const rooms = 100;
const atOnce = 32;

/** All clients reconnect at once, as after the restart of a node. */
export const connecting: Scenario = {
  name: 'connecting',
  title: `${connections.toLocaleString('en-US')} × connect, authenticate and join, ${atOnce} at once`,
  async run(databases, { rounds, against }) {
    const { ours, all: everyService } = await services(databases, against);
    const [ws, socketio] = [await bareWs(), await bareSocketio()];
    const all: { name: string; contender: Contender; in: number[] }[] = [];
    for (const contender of [ws, socketio, ...everyService]) {
      all.push({ name: contender.name, contender, in: await contender.rooms(rooms) });
    }
    for (const one of all) await connect(one.contender, one.in);
    const rows = await inTurn(all, rounds, ({ contender, in: rooms }) => connect(contender, rooms));
    const rate = (name: string) => figure(rows, name, 'connectsPerSecond');
    const reaches = [
      atLeast(0.8, 'Socket.IO ÷ bare socket.io', rate(ours.socketio.name) / rate(socketio.name)),
      atLeast(0.7, '/chat ÷ bare ws', rate(ours.chat.name) / rate(ws.name)),
    ];
    return { rows, reaches, faults: [] };
  },
};

async function connect(contender: Contender, rooms: number[]): Promise<Sample> {
  const load = startLoad();
  const tokens = contender.tokens(connections);
  const own = [...contender.pids, ...contender.behind];
  const before = cpuMsOf(own);
  const places = Array.from({ length: connections }, (_, n) => rooms[n % rooms.length]!);
  const { seconds, p50, p99 } = await load.open({
    dialect: contender.dialect,
    urls: contender.urls,
    tokens,
    rooms: places,
    atOnce,
  });
  const cpuUs = (cpuMsOf(own) - before) * 1_000;
  await load.close();
  return {
    connectsPerSecond: connections / seconds,
    cpuUsPerConnect: cpuUs / connections,
    confirmP50Ms: p50,
    confirmP99Ms: p99,
  };
}
