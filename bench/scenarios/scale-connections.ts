import { setTimeout as pause } from 'node:timers/promises';
import { type Service, service } from '../contenders.ts';
import type { Databases } from '../databases.ts';
import type { Count, ReturnReport } from '../load/crowd.ts';
import { type Load, startLoad } from '../load/load.ts';
import { cpuMsOf } from '../machine/cpu.ts';
import { atMost, collectSteps, figure, type Reach, type Result, type Scenario, stallsIn } from '../scenario.ts';
import type { Sample } from '../statistics.ts';
import { settledMibOf } from './growth-memory.ts';
import { insertRooms } from './scale-rooms.ts';

/**
 * A process may have 20,000 descriptors on the machine of the benchmarks, of which the service reserves 256. BENCH_CONNECTIONS
 * sets another number.
 */
const connections = Number(process.env.BENCH_CONNECTIONS ?? 18_000);
const first = Math.min(1_000, connections / 2);
const rooms = 10_000;
/** The processes of the load. Each has a part of the connections. */
const processes = 3;
const messagesPerSecond = 200;
/** The interval of pings: each connection is pinged once. */
const silentSeconds = 25;
const warmUpSeconds = 2;
/** The time after which the service has handled all that connections that opened or closed have caused. */
const settlingMs = 6_000;
/** The time over which clients come back. Those of a node that dies wait half a second to a second. */
export const spreadMs = 1_000;
const names = { chat: '/chat', socketio: 'Socket.IO' };
const count = (n: number) => n.toLocaleString('en-US');

/** Many live connections to one node of the service: at rest, while messages are sent, when all return, and at a drain. */
export const scaleConnections: Scenario[] = (['chat', 'socketio'] as const).map((dialect) => ({
  name: `scale-connections-${dialect}`,
  title: `${count(connections)} connections to one node on ${names[dialect]}, each in one of ${count(rooms)} rooms`,
  isExtra: true,
  run: (databases, { seconds }) => measureNode(databases, dialect, seconds),
}));

async function measureNode(databases: Databases, dialect: 'chat' | 'socketio', seconds: number) {
  const ours = await service(databases, { watchesStalls: true });
  const [node] = ours.nodes;
  const faults: string[] = [];
  const { rows, add } = collectSteps();
  const ids = await insertRooms(ours, rooms);
  const loads = Array.from({ length: processes }, startLoad);
  const openUpTo = opener(ours, dialect, loads, ids);

  // A forced garbage collection also discards compiled code. Memory is therefore measured after the step that it could slow.
  await openUpTo(first);
  const mibFirst = await settledMibOf(node!.pid);
  await node!.stallMs();
  const opened = await during(ours, () => openUpTo(connections));
  add('open', { connectsPerSecond: (connections - first) / opened.seconds, ...opened.sample });
  await pause(settlingMs);
  await node!.stallMs();
  const silent = await during(ours, () => pause(silentSeconds * 1_000));
  const mibAll = await settledMibOf(node!.pid);
  const mibPerThousand = ((mibAll - mibFirst) * 1_000) / (connections - first);
  add('silent', { ...silent.sample, mibPerThousand, mibInAll: mibAll });

  await sendAll(loads, warmUpSeconds);
  await node!.stallMs();
  const sent = await during(ours, () => sendAll(loads, seconds));
  add(`${messagesPerSecond} messages/s`, { ...toSample(sent.result, faults), ...sent.sample });

  const dropped = await during(ours, () => Promise.all(loads.map((load) => load.drop())));
  add('all connections drop', { ...dropped.sample, seconds: dropped.seconds });
  await pause(settlingMs);
  await node!.stallMs();
  const comeBack = () => Promise.all(loads.map((load) => load.comeBack({ urls: ours.urls, spreadMs })));
  const returned = await during(ours, comeBack);
  add('all come back', { ...returnedSample(returned.result, faults), ...returned.sample });
  const again = await during(ours, () => sendAll(loads, seconds));
  add(`${messagesPerSecond} messages/s afterwards`, { ...toSample(again.result, faults), ...again.sample });

  add('memory after all came back', { mibInAll: await settledMibOf(node!.pid) });
  await Promise.all(loads.map((load) => load.drop()));
  await pause(settlingMs);
  add('memory without connections', { mibInAll: await settledMibOf(node!.pid) });
  await comeBack();
  await node!.stallMs();
  const drained = await drain(node!.child, loads);
  add('drain', drained);
  if (drained.exitCode !== 0) faults.push(`the drain ended with ${drained.exitCode}`);
  const reaches: Reach[] = [
    atMost(dialect === 'chat' ? 4 : 12, 'MiB per 1,000 connections', figure(rows, 'silent', 'mibPerThousand')),
    atMost(100, 'CPU of the node while nobody sends, ms per second', figure(rows, 'silent', 'serverMsPerSecond')),
    ...stallsIn(rows),
  ];
  for (const load of loads) process.kill(load.pid, 'SIGKILL');
  return { rows, reaches, faults } satisfies Omit<Result, 'scenario' | 'title'>;
}

/** Opens further connections until there are so many, shared by the processes of the load. */
export function opener(ours: Service, dialect: 'chat' | 'socketio', loads: readonly Load[], ids: readonly number[]) {
  let open = 0;
  return async (size: number): Promise<void> => {
    const numbers = Array.from({ length: size - open }, (_, n) => open + n);
    open = size;
    await Promise.all(
      loads.map(async (load, k) => {
        const own = numbers.filter((n) => n % loads.length === k);
        if (own.length === 0) return;
        await load.open({
          ...{ dialect, urls: ours.urls, atOnce: 32, mayReturn: true },
          tokens: ours.tokens(own.length),
          rooms: own.map((n) => ids[n % ids.length]!),
        });
      }),
    );
  };
}

/** What a step cost the service. */
export async function during<T>(ours: Service, task: () => Promise<T>) {
  const before = { server: cpuMsOf(ours.pids), databases: cpuMsOf(ours.behind), at: performance.now() };
  const result = await task();
  const seconds = (performance.now() - before.at) / 1_000;
  const stalls = await Promise.all(
    ours.nodes
      .filter(({ child }) => child.exitCode === null && child.signalCode === null)
      .map((node) => node.stallMs()),
  );
  const sample: Sample = {
    serverMsPerSecond: (cpuMsOf(ours.pids) - before.server) / seconds,
    databasesMsPerSecond: (cpuMsOf(ours.behind) - before.databases) / seconds,
    stallMs: Math.max(...stalls),
  };
  return { result, seconds, sample };
}

export function sendAll(loads: readonly Load[], seconds: number): Promise<Count[]> {
  return Promise.all(loads.map((load) => load.openLoop(seconds, messagesPerSecond / loads.length, 1_000)));
}

export function toSample(counts: readonly Count[], faults: string[]): Sample {
  for (const fault of ['lost', 'duplicated', 'reordered', 'failed'] as const) {
    const sum = counts.reduce((all, count) => all + count[fault], 0);
    if (sum > 0) faults.push(`${sum} ${fault}`);
  }
  const worst = (value: (count: Count) => number) => Math.max(...counts.map(value));
  return {
    sendsPerSecond: counts.reduce((sum, count) => sum + count.confirmed / count.seconds, 0),
    ...{ confirmP50Ms: worst(({ confirmMs }) => confirmMs.p50), confirmP99Ms: worst(({ confirmMs }) => confirmMs.p99) },
    ...{ deliverP50Ms: worst(({ deliverMs }) => deliverMs.p50), deliverP99Ms: worst(({ deliverMs }) => deliverMs.p99) },
  };
}

export function returnedSample(reports: readonly ReturnReport[], faults: string[]): Sample {
  const sum = (value: (report: ReturnReport) => number) => reports.reduce((all, report) => all + value(report), 0);
  const seconds = Math.max(...reports.map((report) => report.seconds));
  for (const { reasons } of reports) {
    for (const [reason, times] of Object.entries(reasons)) console.error(`refused ${times} times: ${reason}`);
  }
  const unrecovered = sum((report) => report.unrecovered);
  if (unrecovered > 0) faults.push(`${unrecovered} connections recovered nothing`);
  return {
    ...{ seconds, connectsPerSecond: sum(({ returned }) => returned) / seconds },
    ...{ refused: sum(({ refused }) => refused), openP99Ms: Math.max(...reports.map(({ p99 }) => p99)) },
  };
}

/** Drains the node and waits until it has ended. */
async function drain(child: Service['nodes'][number]['child'], loads: readonly Load[]): Promise<Sample> {
  const cpuBefore = cpuMsOf([child.pid!]);
  let cpuMs = 0;
  const watch = setInterval(() => {
    cpuMs = Math.max(cpuMs, cpuMsOf([child.pid!]) - cpuBefore);
  }, 100);
  let stallMs = 0;
  child.stdout!.on('data', (text: Buffer) => {
    for (const [, ms] of text.toString().matchAll(/"stallMs":([\d.]+)/g)) stallMs = Math.max(stallMs, Number(ms));
  });
  const report = setInterval(() => child.kill('SIGUSR1'), 200);
  const startedAt = performance.now();
  const ended = new Promise<number>((resolve) => child.once('exit', (code) => resolve(code ?? -1)));
  child.kill('SIGTERM');
  const exitCode = await ended;
  clearInterval(watch);
  clearInterval(report);
  const seconds = (performance.now() - startedAt) / 1_000;
  const left = await Promise.all(loads.map((load) => load.ended()));
  return {
    seconds,
    exitCode,
    stallMs,
    closed: left.reduce((sum, n) => sum + n, 0),
    serverMsPerSecond: cpuMs / seconds,
  };
}
