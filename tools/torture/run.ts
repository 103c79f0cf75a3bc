/**
 * Runs clients that talk while the nodes, Redis and PostgreSQL are killed, frozen and disconnected. At the end,
 * compares what each client received with the content of PostgreSQL.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onRunEnd } from '../../test/helpers/cleanup.ts';
import { random } from '../fuzz/random.ts';
import { type Cluster, searchLogs, startCluster } from './cluster.ts';
import { installDefect } from './defects.ts';
import { faultKinds, isHarmless, isOutage } from './faults.ts';
import type { Disturbance } from './inbox-lag.ts';
import { readOptions } from './options.ts';
import { checkRun } from './oracle.ts';
import { Owner } from './owner.ts';
import type { Participant } from './participant.ts';
import { createPopulation } from './population.ts';
import { newEvidence, type Violation } from './record.ts';
import { formatReport, formatSummary } from './report.ts';
import { readHistories, readTokens } from './room-history.ts';
import { type Incident, runFaults } from './run-faults.ts';
import { converge, type Missing, settle } from './settle.ts';
import { measureStrain } from './strain.ts';
import { WebhookReceiver } from './webhook-receiver.ts';

const { seconds, seed, nodes, workers, clients, rooms, faults, defect, settings } = readOptions();
const tickMs = 10;
const slices = 4;
const ruleLanes = 4;
/** A shorter run does not wait until every client has the complete presence. */
const minSecondsForPresence = 30;
/** Time for the start, for the creation of rooms and users, and for the convergence at the end. */
const graceMs = 180_000;

const directory = mkdtempSync(join(tmpdir(), 'nano-torture-'));
process.once('SIGINT', () => void cleanUp().finally(() => process.exit(130)));
// If anything hangs, the run ends and takes its child processes with it.
const deadline = setTimeout(
  () => {
    console.error(
      `torture: timed out ${graceMs / 1_000} s after the end of the load, seed ${seed}, logs in ${directory}`,
    );
    process.exit(1);
  },
  seconds * 1_000 + graceMs,
);

console.log(
  `torture: ${seconds} s, seed ${seed}, ${nodes} nodes${workers > 1 ? ` of ${workers} workers` : ''}, ${clients} clients, ${rooms} rooms; logs in ${directory}`,
);
const evidence = newEvidence();
let cluster: Cluster | undefined;
try {
  const violations = await torture();
  for (const line of formatSummary(evidence, violations, seed)) console.log(line);
  process.exitCode = violations.length === 0 ? 0 : 1;
} catch (error) {
  console.error(error);
  console.error(`torture: the run failed, seed ${seed}, logs in ${directory}`);
  process.exitCode = 1;
} finally {
  clearTimeout(deadline);
  await cleanUp();
  if (process.exitCode === 0) rmSync(directory, { recursive: true, force: true });
}
process.exit();

/** Keeps the logs, so that you can investigate a failure. */
async function cleanUp(): Promise<void> {
  await cluster?.stop();
  await onRunEnd();
}

async function torture(): Promise<Violation[]> {
  const receiver = new WebhookReceiver(evidence);
  cluster = await startCluster({ nodes, directory, settings, defect, receiver });
  if (defect) await installDefect(cluster.postgres.url, defect);
  const owner = new Owner(cluster.urls, random(seed + 1), evidence);
  const { urls, postgres, redis } = cluster;
  const databaseUrl = () => postgres.url;
  const options = { clients, rooms, seed: seed + 2, urls, databaseUrl };
  const { participants, grantees, crowd, quietRooms } = await createPopulation(options, owner, evidence);
  const world = { cluster, participants, crowd, evidence, quietRooms, importSeconds: seconds / 4 };
  const stopMeasuring = measureStrain({ urls, databaseUrl, redisUrl: redis?.url }, evidence);
  const ticking = tick(participants);
  await converge(world);

  const end = performance.now() + seconds * 1_000;
  const isOver = () => performance.now() >= end;
  const ruleChange = Array.from({ length: ruleLanes }, (_, lane) => {
    const own = grantees.filter((_, n) => n % ruleLanes === lane);
    return owner.rule(own, participants, isOver);
  });
  const [incidents] = await Promise.all([runFaults({ world, random: random(seed), faults, isOver }), ...ruleChange]);
  const stopsRedis = faults.some((fault) => faultKinds[fault].target === 'redis');
  const rest = await settle(world, { stopsRedis, waitsForPresence: seconds >= minSecondsForPresence });
  clearInterval(ticking);
  stopMeasuring();
  evidence.endedAt = performance.now();
  for (const one of participants) one.close();
  return judge([...incidents, ...rest.incidents], rest.missing, owner.bans);
}

/** Ticks a part of the clients at a time, so that they do not all act at the same moment. */
function tick(participants: Participant[]): NodeJS.Timeout {
  let turn = 0;
  return setInterval(() => {
    turn += 1;
    const now = performance.now();
    for (const [n, one] of participants.entries()) if (n % slices === turn % slices) one.tick(now);
  }, tickMs);
}

async function judge(incidents: Incident[], missing: Missing[], bans: number[]): Promise<Violation[]> {
  const histories = await readHistories(cluster!.postgres.url);
  const { violations, counts } = searchLogs(cluster!);
  const late: Violation[] = missing.map(({ what, rule }) => ({ fault: 'lost', what: `at the end, ${what}`, rule }));
  const tokens = await readTokens(cluster!.postgres.url);
  const disturbances = incidents.flatMap(toDisturbance);
  violations.unshift(...checkRun(evidence, histories, tokens, disturbances), ...late);
  for (const line of formatReport(evidence, incidents, bans)) console.log(line);
  const failedStarts = cluster!.nodes.reduce((sum, node) => sum + node.failedStarts, 0);
  console.log(`\nwarnings and errors in the logs of the nodes (${failedStarts} failed starts)`);
  for (const [kind, times] of counts) console.log(`  ${String(times).padStart(6)}  ${kind}`);
  if (violations.length > 0) keep({ histories, violations });
  return violations;
}

function toDisturbance({ fault, startedAt, endedAt, recovery }: Incident): Disturbance[] {
  const times = { from: startedAt, to: endedAt + recovery.subscribersMs };
  if (fault === 'end without redis') return [{ fault, ...times, isOutage: false }];
  return isHarmless(fault) ? [] : [{ fault, ...times, isOutage: isOutage(fault) }];
}

/** Saves the findings, because the databases are removed after the run. */
function keep(findings: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(findings)) {
    writeFileSync(join(directory, `${name}.json`), JSON.stringify(value, null, 1));
  }
  console.log(`\nlogs, histories and violations are in ${directory}`);
}
