/**
 * `npm run torture -- --seconds 60 --seed 1`: clients that talk while everything beneath them is killed, frozen and cut.
 * In the end what each of them heard is compared with what PostgreSQL has.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { random } from '../fuzz/random.ts';
import { runEnds } from '../support/cleanup.ts';
import { type Cluster, searchLogs, startCluster } from './cluster.ts';
import { type FaultName, faultKinds, faultNames } from './faults.ts';
import { judgeRun } from './oracle.ts';
import { Owner } from './owner.ts';
import { newEvidence, type Violation } from './record.ts';
import { converge } from './recovery.ts';
import { reportOf, verdictOf } from './report.ts';
import { readHistories } from './room-history.ts';
import { type Blow, rage } from './storm.ts';
import { foundTown } from './town.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    nodes: { type: 'string', default: '3' },
    clients: { type: 'string', default: '120' },
    rooms: { type: 'string', default: '30' },
    'redis-adapter': { type: 'string' },
    only: { type: 'string' },
    set: { type: 'string', multiple: true, default: [] },
  },
});
const [seconds, seed, nodes] = [Number(values.seconds), Number(values.seed), Number(values.nodes)];
const [clients, rooms] = [Number(values.clients), Number(values.rooms)];
const tickMs = 10;
const slices = 4;
const rulers = 4;
const convergeMs = 30_000;
const graceMs = 120_000;

function faultsOf(only: string | undefined): FaultName[] {
  const wanted = only?.split(',') ?? faultNames;
  const unknown = wanted.filter((name) => !Object.hasOwn(faultKinds, name));
  if (unknown.length > 0)
    throw new Error(`There is no fault ${unknown.join(', ')}; there are ${faultNames.join(', ')}`);
  // One node needs no Redis.
  return (wanted as FaultName[]).filter((name) => nodes > 1 || faultKinds[name].hurts !== 'redis');
}

const settings = Object.fromEntries(values.set.map((setting) => setting.split(/=(.*)/s, 2) as [string, string]));
if (values['redis-adapter']) settings.REDIS_ADAPTER = values['redis-adapter'];
const faults = faultsOf(values.only);
const directory = mkdtempSync(join(tmpdir(), 'nano-torture-'));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
// Whatever hangs: the run ends, and its children with it.
const deadline = setTimeout(
  () => {
    console.error(`torture: not done ${graceMs / 1_000} s after its time, seed ${seed}, logs in ${directory}`);
    process.exit(1);
  },
  seconds * 1_000 + graceMs,
);

console.log(
  `torture: ${seconds} s, seed ${seed}, ${nodes} nodes, ${clients} clients, ${rooms} rooms; logs in ${directory}`,
);
const evidence = newEvidence();
let cluster: Cluster | undefined;
try {
  const violations = await torture();
  for (const line of verdictOf(evidence, violations, seed)) console.log(line);
  process.exitCode = violations.length === 0 ? 0 : 1;
} catch (error) {
  console.error(error);
  console.error(`torture: it broke down, seed ${seed}, logs in ${directory}`);
  process.exitCode = 1;
} finally {
  clearTimeout(deadline);
  await cluster?.stop();
  await runEnds();
  if (process.exitCode === 0) rmSync(directory, { recursive: true, force: true });
}
process.exit();

async function torture(): Promise<Violation[]> {
  cluster = await startCluster({ nodes, directory, settings });
  const owner = new Owner(cluster.urls, random(seed + 1), evidence);
  const town = await foundTown({ clients, rooms, seed: seed + 2, urls: cluster.urls }, owner, evidence);
  const { participants, grantees } = town;
  const world = { cluster, participants };

  let turn = 0;
  const ticking = setInterval(() => {
    turn += 1;
    const now = performance.now();
    for (const [n, one] of participants.entries()) if (n % slices === turn % slices) one.tick(now);
  }, tickMs);
  await converge(world, convergeMs);

  const end = performance.now() + seconds * 1_000;
  const isOver = () => performance.now() >= end;
  const ruling = Array.from({ length: rulers }, (_, lane) =>
    owner.rule(
      grantees.filter((_, n) => n % rulers === lane),
      participants,
      isOver,
    ),
  );
  const [blows] = await Promise.all([rage({ world, random: random(seed), faults, isOver }), ...ruling]);
  for (const one of participants) one.settle();
  const missing = await converge(world, convergeMs);
  // Who is shut out asks once more, so that his last answer is of now.
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  missing.push(...(await converge(world, convergeMs / 3)));
  clearInterval(ticking);
  for (const one of participants) one.close();
  return judge(blows, missing, owner.bans);
}

async function judge(blows: Blow[], missing: string[], bans: number[]): Promise<Violation[]> {
  const histories = await readHistories(cluster!.postgres.url);
  const { violations, counts } = searchLogs(cluster!);
  const late: Violation[] = [...new Set(missing)].map((what) => ({ fault: 'lost', what: `in the end ${what}` }));
  violations.unshift(...judgeRun(evidence, histories), ...late);
  for (const line of reportOf(evidence, blows, bans)) console.log(line);
  const failedStarts = cluster!.nodes.reduce((sum, node) => sum + node.failedStarts, 0);
  console.log(`\nlogged by the nodes (${failedStarts} starts failed)`);
  for (const [kind, times] of counts) console.log(`  ${String(times).padStart(6)}  ${kind}`);
  if (violations.length > 0) writeFileSync(join(directory, 'histories.json'), JSON.stringify(histories));
  if (violations.length > 0) writeFileSync(join(directory, 'violations.json'), JSON.stringify(violations, null, 1));
  return violations;
}
