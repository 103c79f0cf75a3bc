import { bareSocketioRedis, type Contender, service } from '../contenders.ts';
import { type Load, startLoad } from '../load/load.ts';
import { pgbench } from '../pgbench.ts';
import { atMost, countOf, faultsIn, figure, inTurn, type Scenario } from '../scenario.ts';

const receivers = 100;
const perSecond = 20;
const leastSeconds = 8;

interface Pair {
  contender: Contender;
  /** The sender on the first node and the receivers on the second node, in one process with one clock. */
  load: Load;
}

/** Measures the delivery from one node to the other at a low rate. */
export const twoNodes: Scenario = {
  name: 'two-nodes',
  title: `Two nodes, ${perSecond} messages/s, ${receivers} receivers on the other node`,
  async run(databases, { rounds, seconds }) {
    const ours = await service(databases, { nodes: 2 });
    const bare = await bareSocketioRedis(databases, 2);
    const commits = await pgbench(databases);
    const pairs: Pair[] = [];
    for (const contender of [bare, ours.chat, ours.socketio]) pairs.push(await pairOf(contender));
    const time = Math.max(seconds, leastSeconds);
    const all = [
      { name: 'pgbench one-row commit', measure: () => commits(1, time, perSecond) },
      ...pairs.map(({ contender, load }) => ({
        name: contender.name,
        measure: () => countOf({ contender, load }, (load) => load.openLoop(time, perSecond, 1)),
      })),
    ];
    for (const { measure } of all) await measure();
    const rows = await inTurn(all, rounds, ({ measure }) => measure());
    const p99 = (name: string) => figure(rows, name, 'deliverP99Ms');
    const most = 1.5 * p99(bare.name) + figure(rows, 'pgbench one-row commit', 'confirmP99Ms');
    const reaches = [ours.chat, ours.socketio].map(({ name }) =>
      atMost(1, `${name}: delivery p99 ÷ (1.5 × bare socket.io + Redis, and one commit)`, p99(name) / most),
    );
    return { rows, reaches, faults: faultsIn(rows) };
  },
};

async function pairOf(contender: Contender): Promise<Pair> {
  const load = startLoad();
  const [room] = await contender.rooms(1);
  const tokens = contender.tokens(receivers + 1);
  const shared = { dialect: contender.dialect, atOnce: 16 };
  await load.open({ ...shared, urls: [contender.urls[0]!], tokens: tokens.slice(0, 1), rooms: [room!] });
  const others = Array.from({ length: receivers }, () => room!);
  await load.open({ ...shared, urls: [contender.urls[1]!], tokens: tokens.slice(-receivers), rooms: others });
  return { contender, load };
}
