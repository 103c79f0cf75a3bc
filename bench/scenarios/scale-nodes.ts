import type { ChildProcess } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { service } from '../contenders.ts';
import { startLoad } from '../load/load.ts';
import { collectSteps, type Scenario } from '../scenario.ts';
import { settledMibOf } from './growth-memory.ts';
import { during, opener, returnedSample, sendAll, spreadMs, toSample } from './scale-connections.ts';
import { insertRooms } from './scale-rooms.ts';

const nodes = 3;
/** After the death of a node, the others have room for its connections. BENCH_CONNECTIONS sets another number for a node. */
const connections = nodes * Number(process.env.BENCH_CONNECTIONS ?? 12_000);
/** A process may have 20,000 descriptors on the machine of the benchmarks. */
const maxConnections = 19_700;
const rooms = 10_000;
const silentSeconds = 25;

/** Three nodes at rest and while messages are sent, and the death of one of them, whose clients return to the others. */
export const scaleNodes: Scenario = {
  name: 'scale-nodes',
  title: `${connections.toLocaleString('en-US')} connections on /chat to ${nodes} nodes, in ${rooms.toLocaleString('en-US')} rooms`,
  isExtra: true,
  async run(databases, { seconds }) {
    const ours = await service(databases, { nodes, watchesStalls: true });
    const faults: string[] = [];
    const { rows, add } = collectSteps();
    const ids = await insertRooms(ours, rooms);
    // As many processes as nodes, so that the connections of a process are spread over all nodes.
    const loads = Array.from({ length: nodes + 1 }, startLoad);
    const mibOfAll = async () => (await Promise.all(ours.pids.map(settledMibOf))).reduce((sum, mib) => sum + mib);
    // Measuring the memory collects garbage, which is not part of the longest stall of the next step.
    const endStalls = () => Promise.all(ours.nodes.map((node) => node.stallMs()));
    const mibBefore = await mibOfAll();
    await endStalls();
    const opened = await during(ours, () => opener(ours, 'chat', loads, ids)(connections));
    add('open', { connectsPerSecond: connections / opened.seconds, ...opened.sample });
    const silent = await during(ours, () => pause(silentSeconds * 1_000));
    const mibInAll = await mibOfAll();
    await endStalls();
    const mibPerThousand = ((mibInAll - mibBefore) * 1_000) / connections;
    add('silent, all nodes', { ...silent.sample, mibPerThousand, mibInAll });
    const sent = await during(ours, () => sendAll(loads, seconds));
    add('200 messages/s, all nodes', { ...toSample(sent.result, faults), ...sent.sample });
    if (connections <= (nodes - 1) * maxConnections) {
      await killNode(ours.nodes[0]!.child);
      const returned = await during(ours, () =>
        Promise.all(loads.map((load) => load.comeBack({ urls: ours.urls.slice(1), spreadMs }))),
      );
      add('the clients of a dead node return', { ...returnedSample(returned.result, faults), ...returned.sample });
      const again = await during(ours, () => sendAll(loads, seconds));
      add('200 messages/s, two nodes', { ...toSample(again.result, faults), ...again.sample });
    }
    for (const load of loads) process.kill(load.pid, 'SIGKILL');
    return { rows, reaches: [], faults };
  },
};

async function killNode(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
  await pause(500);
}
