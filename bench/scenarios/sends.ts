import { bareSocketioRedis, services } from '../contenders.ts';
import { pgbench } from '../pgbench.ts';
import { atLeast, atMost, countOf, type Entrant, enter, faultsIn, figure, inTurn, type Scenario } from '../scenario.ts';
import type { Sample } from '../statistics.ts';

const few = 64;
const many = 512;

/**
 * Each room has one sender, who waits for each confirmation. Measures how fast messages are stored and acknowledged.
 */
export const sends: Scenario = {
  name: 'sends',
  title: `Confirmed sends, ${few} senders in ${few} rooms, closed loop`,
  async run(databases, { rounds, seconds, against }) {
    const bare = await bareSocketioRedis(databases);
    const { ours, all: everyService } = await services(databases, against);
    const commits = await pgbench(databases);
    const all: { name: string; measure: () => Promise<Sample> }[] = [
      { name: 'pgbench one-row commits', measure: () => commits(few, seconds) },
    ];
    for (const contender of [bare, ...everyService]) {
      const entrant = await enter(contender, { connections: few, rooms: await contender.rooms(few) });
      all.push({ name: contender.name, measure: () => closedLoop(entrant, seconds, few) });
    }
    for (const contender of [ours.chat, ours.socketio]) {
      const entrant = await enter(contender, { connections: many, rooms: await contender.rooms(many) });
      all.push({ name: `${contender.name}, ${many}`, measure: () => closedLoop(entrant, seconds, many) });
    }
    for (const { measure } of all) await measure();
    const rows = await inTurn(all, rounds, ({ measure }) => measure());
    const rate = (name: string) => figure(rows, name, 'sendsPerSecond');
    const reaches = [ours.chat, ours.socketio].flatMap(({ name }) => [
      atLeast(0.7, `${name}: sends ÷ bare socket.io + Redis`, rate(name) / rate(bare.name)),
      atLeast(1, `${name}: sends ÷ pgbench commits`, rate(name) / rate('pgbench one-row commits')),
      atMost(110, `${name}: CPU µs per send, all processes`, figure(rows, name, 'cpuUsPerSend')),
      atLeast(1.3, `${name}: ${many} senders ÷ ${few}`, rate(`${name}, ${many}`) / rate(name)),
    ]);
    return { rows, reaches, faults: faultsIn(rows) };
  },
};

const closedLoop = (entrant: Entrant, seconds: number, senders: number) =>
  countOf(entrant, (load) => load.closedLoop(seconds, senders, 1));
