import { type Contender, service } from '../contenders.ts';
import { type Load, startLoad } from '../load/load.ts';
import { cpuMsOf } from '../machine/cpu.ts';
import {
  atLeast,
  atMost,
  countOf,
  type Entrant,
  enter,
  faultsIn,
  figure,
  inTurn,
  type Row,
  type Scenario,
} from '../scenario.ts';
import type { Sample } from '../statistics.ts';

const workers = 2;
/** For each worker, so that a commit has as many messages with two workers as with one. */
const senders = 64;
const members = 1_000;
/** The members that send. Half of them join first and half last, so each worker delivers to some first and to others last. */
const active = 8;
const window = 4;
/** So few that they fit into the kernel's buffers of a member that does not read. */
const burstMessages = 50;
const bursts = 5;

const transports = ['chat', 'socketio'] as const;

interface Setup {
  name: string;
  contender: Contender;
  count: number;
  /** A separate room and sender for each connection. */
  sends: Entrant;
  /** A separate room for each two connections, which are on different workers. Both send. */
  pairs: Entrant;
  /** The members of the large room that read nothing during a burst, and those that send. */
  audience: Load;
  speakers: Load;
}

/**
 * Measures what several workers on one port cost and gain, compared with one process, without Redis. In the large room the
 * members read only between the bursts, so that the load leaves both cores to the workers.
 */
export const workersScenario: Scenario = {
  name: 'workers',
  title: `WORKERS=${workers} and 1, ${senders} senders per worker: a room for each sender, a room for each pair, and bursts in a room of ${members} members`,
  isExtra: true,
  async run(databases, { rounds, seconds, against }) {
    const setups: Setup[] = [];
    for (const [count, checkout] of [[1], [workers], ...(against ? [[workers, against] as const] : [])] as const) {
      // The members that do not read answer no pings either.
      const settings = { WORKERS: String(count), REDIS_URL: '', PING_INTERVAL_SECONDS: '3600' };
      const node = await service(databases, { settings, checkout });
      for (const transport of transports) {
        const name = toName(transport, count);
        setups.push(await setUp(node[transport], count, checkout ? `${name}, before` : name));
      }
    }
    const closedLoop = (count: number) => (load: Load) => load.closedLoop(seconds, senders * count, 1);
    const kinds = {
      sends: ({ sends, count }: Setup) => countOf(sends, closedLoop(count)),
      'sends to both workers': ({ pairs, count }: Setup) => countOf(pairs, closedLoop(count)),
      deliveries: measureBursts,
    };
    const rows: Row[] = [];
    for (const [kind, measure] of Object.entries(kinds)) {
      for (const setup of setups) await measure(setup);
      const measured = await inTurn(setups, rounds, measure);
      rows.push(...measured.map(({ name, figures }) => ({ name: `${name}: ${kind}`, figures })));
    }
    const ratio = (transport: string, kind: string, value: string) =>
      figure(rows, `${toName(transport, workers)}: ${kind}`, value) /
      figure(rows, `${toName(transport, 1)}: ${kind}`, value);
    const reaches = transports.flatMap((transport) => [
      ...['sends', 'sends to both workers'].map((kind) =>
        atMost(1.15, `${transport}: ${kind}, server CPU, ${workers} ÷ 1`, ratio(transport, kind, 'serverUsPerSend')),
      ),
      atLeast(1.5, `${transport}: deliveries/s, ${workers} ÷ 1`, ratio(transport, 'deliveries', 'deliveriesPerSecond')),
    ]);
    return { rows, reaches, faults: faultsIn(rows) };
  },
};

async function setUp(contender: Contender, count: number, name: string): Promise<Setup> {
  const connections = senders * count;
  const sends = await enter(contender, { connections, rooms: await contender.rooms(connections) });
  const roomsOfPairs = (await contender.rooms(connections / 2)).flatMap((room) => [room, room]);
  // The workers get new connections in turn.
  const pairs = await enter(contender, { connections, rooms: roomsOfPairs, atOnce: 1 });
  const [room] = await contender.rooms(1);
  const [audience, speakers] = [startLoad(), startLoad()];
  const open = (load: Load, size: number) =>
    load.open({
      ...{ dialect: contender.dialect, urls: contender.urls, atOnce: 32 },
      ...{ tokens: contender.tokens(size), rooms: Array.from({ length: size }, () => room!) },
    });
  await open(speakers, active / 2);
  await open(audience, members);
  await open(speakers, active / 2);
  return { ...{ name, contender, count, sends, pairs, audience, speakers } };
}

async function measureBursts({ contender, audience, speakers }: Setup): Promise<Sample> {
  const own = [...contender.pids, ...contender.behind];
  let [elapsed, serverUs] = [0, 0];
  let read: Awaited<ReturnType<Load['resume']>> | undefined;
  for (let n = 0; n < bursts; n++) {
    await audience.pause();
    const before = cpuMsOf(own);
    elapsed += (await speakers.burst(burstMessages, active, window)).seconds;
    serverUs += (cpuMsOf(own) - before) * 1_000;
    read = await audience.resume();
  }
  const deliveries = bursts * burstMessages * (members + active);
  return {
    deliveriesPerSecond: deliveries / elapsed,
    serverUsPerDelivery: serverUs / deliveries,
    deliveriesPerServerCpuSecond: (deliveries * 1e6) / serverUs,
    ...read!,
  };
}

const toName = (transport: string, count: number) => `${transport}, WORKERS=${count}`;
