import { readFileSync } from 'node:fs';
import { registerEndpoint } from '../../src/features/webhooks/positions.ts';
import { onRunEnd } from '../../test/helpers/cleanup.ts';
import { databaseSession } from '../../test/helpers/database-session.ts';
import { execute, startPostgres } from '../../test/helpers/postgres.ts';
import { runServer } from '../../test/helpers/process.ts';
import { openPostgresStore } from '../../test/helpers/stores.ts';
import { adminToken, createUser, testSecret } from '../../test/helpers/users.ts';
import { parseNames, parseWholeNumber, readCommandLine } from '../command-line.ts';
import { Endpoint } from './endpoint.ts';
import { Senders } from './senders.ts';

const scenarios = ['delay', 'outage', 'takeover', 'many-rooms', 'sends', 'rooms'] as const;

const usage = `node tools/webhooks/run.ts [options]: measures webhooks with nodes in their own processes and a PostgreSQL that waits for the disk.

  --only NAMES          ${scenarios.join(', ')} (all)
                        delay: from the send to the arrival. outage: the endpoint is down; how long the backlog takes.
                        takeover: the dispatching node is killed. many-rooms: start, memory and takeover. sends: sends per
                        second with and without a webhook. rooms: what creating and deleting a room costs without one
  --seconds N           duration of a measurement (20)
  --outage-seconds N    how long the endpoint is down (60)
  --rate N              messages per second (500)
  --rooms N             rooms (500)
  --many N              rooms of many-rooms (300000)
  --answer-ms N         how long the endpoint takes to answer (30)
  --help

Exit codes: 0 nothing was lost or out of order; 1 something was; 2 invalid arguments`;

const options = {
  only: { type: 'string', default: scenarios.join(',') },
  seconds: { type: 'string', default: '20' },
  'outage-seconds': { type: 'string', default: '60' },
  rate: { type: 'string', default: '500' },
  rooms: { type: 'string', default: '500' },
  many: { type: 'string', default: '300000' },
  'answer-ms': { type: 'string', default: '30' },
} as const;
const { only, seconds, outageSeconds, rate, rooms, many, answerMs } = readCommandLine(usage, options, (values) => ({
  only: parseNames('only', values.only, scenarios),
  seconds: parseWholeNumber('seconds', values.seconds, 1),
  outageSeconds: parseWholeNumber('outage-seconds', values['outage-seconds'], 1),
  rate: parseWholeNumber('rate', values.rate, 1),
  rooms: parseWholeNumber('rooms', values.rooms, 1),
  many: parseWholeNumber('many', values.many, 1),
  answerMs: parseWholeNumber('answer-ms', values['answer-ms'], 0),
}));

const postgres = await startPostgres({
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  max_wal_size: '4GB',
});
const owner = createUser({ level: 100 });
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
let databases = 0;

async function createDatabase(): Promise<string> {
  databases += 1;
  const name = `measured_${databases}`;
  await execute(postgres.url, `create database ${name}`);
  const url = new URL(postgres.url);
  url.pathname = `/${name}`;
  return url.href;
}

const startNode = (databaseUrl: string, settings: Record<string, string> = {}) =>
  runServer({
    ...{
      DATABASE_URL: databaseUrl,
      JWT_SECRET: testSecret,
      ADMIN_TOKEN: adminToken,
      METRICS_TOKEN: 'a-token-of-the-measurement',
    },
    ...{ SEND_RATE: 0, REQUEST_RATE: 0, READ_RATE: 0, MAX_CONNECTIONS_PER_USER: 0, LOG_LEVEL: 'info' },
    ...settings,
  });

/** Inserts rooms that `owner` may write to, past the node. */
async function insertRooms(databaseUrl: string, count: number): Promise<number[]> {
  const session = await databaseSession(databaseUrl);
  const { rows } = await session.query<{ id: string }>(`with made as (
      insert into rooms (uuid, name, type, level_admin, user_owner, max_entity_rules, last_change_at, created_at, updated_at)
      select gen_random_uuid(), 'a room', 'group', 0, '${owner.user}', 10, now(), now(), now() from generate_series(1, ${count})
      returning id
    ), ruled as (
      insert into permission_rules (room_id, grantee, kind, permissions, level, accepted, created_at, updated_at)
      select id, '${owner.user}', 'user', 'rwa', 0, true, now(), now() from made
    ) select id from made limit 1000`);
  await session.query('analyze');
  return rows.map(({ id }) => Number(id));
}

const percentile = (sorted: readonly number[], p: number) =>
  Math.round(sorted[Math.ceil((sorted.length - 1) * p)] ?? Number.NaN);

function describeDelays(arrivals: readonly { delayMs: number }[]): string {
  const sorted = arrivals.map(({ delayMs }) => delayMs).sort((a, b) => a - b);
  return `${sorted.length} messages, median ${percentile(sorted, 0.5)} ms, p99 ${percentile(sorted, 0.99)} ms, max ${percentile(sorted, 1)} ms`;
}

const readMemoryMiB = (pid: number) =>
  Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1_024);

let failures = 0;

function expectComplete(endpoint: Endpoint, senders: Senders): void {
  const missing = senders.sent - endpoint.arrivals.length;
  console.log(
    `  ${endpoint.requests} requests, ${missing} missing, ${endpoint.gaps} out of order, ${endpoint.duplicates} again, ${senders.failed} sends failed`,
  );
  if (missing > 0 || endpoint.gaps > 0) failures += 1;
}

/** Waits until the endpoint has everything. Returns the seconds. */
async function waitForBacklog(endpoint: Endpoint, senders: Senders, timeoutSeconds = 600): Promise<number> {
  const begunAt = performance.now();
  while (endpoint.arrivals.length < senders.sent && performance.now() - begunAt < timeoutSeconds * 1_000)
    await sleep(20);
  return (performance.now() - begunAt) / 1_000;
}

async function openMeasurement(settings: Record<string, string> = {}) {
  const database = await createDatabase();
  const endpoint = await Endpoint.open(answerMs);
  const node = await startNode(database, { WEBHOOKS: endpoint.setting, ...settings });
  const roomIds = await insertRooms(database, rooms);
  const senders = await Senders.connect(node.url, owner, roomIds);
  await senders.sendAtRate(Math.min(rate, 100), 3);
  await waitForBacklog(endpoint, senders);
  return { database, endpoint, node, senders, roomIds };
}

async function measureDelay(): Promise<void> {
  const { endpoint, node, senders } = await openMeasurement();
  const from = endpoint.arrivals.length;
  await senders.sendAtRate(rate, seconds);
  await waitForBacklog(endpoint, senders, 60);
  console.log(
    `delay at ${rate} messages/s in ${rooms} rooms, answered in ${answerMs} ms: ${describeDelays(endpoint.arrivals.slice(from))}`,
  );
  expectComplete(endpoint, senders);
  senders.close();
  node.kill('SIGTERM');
  await node.exited;
}

async function measureOutage(): Promise<void> {
  const { endpoint, node, senders } = await openMeasurement();
  endpoint.isDown = true;
  await senders.sendAtRate(rate, outageSeconds);
  const backlog = senders.sent - endpoint.arrivals.length;
  endpoint.isDown = false;
  const first = endpoint.arrivals.length;
  const begunAt = performance.now();
  const sending = senders.sendAtRate(rate, seconds);
  while (endpoint.arrivals.length === first) await sleep(5);
  const firstAfter = (performance.now() - begunAt) / 1_000;
  while (endpoint.arrivals.length < first + backlog) await sleep(20);
  const caughtUp = (performance.now() - begunAt) / 1_000;
  await sending;
  await waitForBacklog(endpoint, senders);
  console.log(
    `outage of ${outageSeconds} s at ${rate} messages/s: ${backlog} messages waited; first answer after ${firstAfter.toFixed(1)} s, backlog delivered ${(caughtUp - firstAfter).toFixed(1)} s later, while ${rate} messages/s went on`,
  );
  expectComplete(endpoint, senders);
  senders.close();
  node.kill('SIGTERM');
  await node.exited;
}

async function measureTakeover(): Promise<void> {
  const { database, endpoint, node, roomIds, senders: doomed } = await openMeasurement({ NODE_NAME: 'first' });
  doomed.close();
  const other = await startNode(database, { WEBHOOKS: endpoint.setting, NODE_NAME: 'second' });
  const senders = await Senders.connect(other.url, owner, roomIds);
  const sending = senders.sendAtRate(Math.min(rate, 100), 25);
  await sleep(5_000);
  node.kill('SIGKILL');
  await node.exited;
  const killedAt = performance.now();
  await sending;
  while (endpoint.arrivals.length < senders.sent + doomed.sent) await sleep(20);
  const firstAfter = endpoint.arrivals.find(({ at }) => at > killedAt + 500)!.at - killedAt;
  console.log(`takeover after SIGKILL: first delivery after ${(firstAfter / 1_000).toFixed(1)} s`);
  senders.sent += doomed.sent;
  expectComplete(endpoint, senders);
  senders.close();
  other.kill('SIGTERM');
  await other.exited;
}

async function measureManyRooms(): Promise<void> {
  const database = await createDatabase();
  const plain = await startNode(database);
  const roomIds = await insertRooms(database, many);
  await sleep(1_000);
  const plainMiB = readMemoryMiB(plain.child.pid!);
  plain.kill('SIGTERM');
  await plain.exited;
  const store = await openPostgresStore(database);
  const begunAt = performance.now();
  await registerEndpoint(store, 'measured');
  console.log(
    `many rooms: a new name gets its ${many} positions in ${((performance.now() - begunAt) / 1_000).toFixed(1)} s`,
  );
  const session = await databaseSession(database);
  const { rows } = await session.query(`select pg_size_pretty(pg_total_relation_size('webhook_positions')) as size`);
  console.log(`  the table of positions has ${rows[0].size}`);
  const endpoint = await Endpoint.open(answerMs);
  const startedAt = performance.now();
  const node = await startNode(database, { WEBHOOKS: endpoint.setting });
  const senders = await Senders.connect(node.url, owner, roomIds);
  await senders.send();
  await waitForBacklog(endpoint, senders, 60);
  console.log(
    `  the first delivery came ${((performance.now() - startedAt) / 1_000).toFixed(1)} s after the start of the process`,
  );
  console.log(`  memory: ${readMemoryMiB(node.child.pid!)} MiB, ${plainMiB} MiB without a webhook`);
  await session.query('update rooms set last_seq = last_seq + 1, last_rev = last_rev + 1 where id % 3 = 0');
  endpoint.isDown = true;
  await session.query('truncate touches, touches_epoch');
  await sleep(5_000);
  console.log(`  memory with ${Math.round(many / 3)} rooms behind: ${readMemoryMiB(node.child.pid!)} MiB`);
  senders.close();
  node.kill('SIGTERM');
  await node.exited;
}

async function measureSends(): Promise<void> {
  const endpoint = await Endpoint.open(answerMs);
  const [plain, hooked] = [await createDatabase(), await createDatabase()];
  const nodes = [await startNode(plain), await startNode(hooked, { WEBHOOKS: endpoint.setting })];
  const senders = [];
  for (const [n, database] of [plain, hooked].entries())
    senders.push(await Senders.connect(nodes[n]!.url, owner, await insertRooms(database, rooms)));
  const rates: number[][] = [[], []];
  for (let round = 0; round < 6; round++) {
    const n = round % 2;
    const measured = await senders[n]!.sendFor(Math.max(1, seconds / 4));
    if (round > 1) rates[n]!.push(Math.round(measured));
    if (n === 1) await waitForBacklog(endpoint, senders[1]!, 60);
  }
  console.log(`sends/s without a webhook ${rates[0]!.join(', ')}; with one ${rates[1]!.join(', ')}`);
  expectComplete(endpoint, senders[1]!);
  for (const one of senders) one.close();
  for (const node of nodes) {
    node.kill('SIGTERM');
    await node.exited;
  }
}

/** Creates and deletes rooms in one session, with and without the triggers of the webhooks. */
async function measureRooms(): Promise<void> {
  const database = await createDatabase();
  const node = await startNode(database);
  node.kill('SIGTERM');
  await node.exited;
  const session = await databaseSession(database);
  const once = async (): Promise<number> => {
    const count = 300;
    const begunAt = performance.now();
    for (let n = 0; n < count; n++) {
      const { rows } = await session.query<{ id: string }>(
        `insert into rooms (uuid, name, type, level_admin, user_owner, max_entity_rules, last_change_at, created_at, updated_at)
         values (gen_random_uuid(), 'a room', 'group', 0, $1, 10, now(), now(), now()) returning id`,
        [owner.user],
      );
      await session.query('delete from rooms where id = $1', [rows[0]!.id]);
    }
    return ((performance.now() - begunAt) / count) * 1_000;
  };
  await session.query('set synchronous_commit = off');
  const measured: Record<string, number[]> = { enable: [], disable: [] };
  for (let round = 0; round < 9; round++) {
    for (const how of ['enable', 'disable']) {
      for (const trigger of ['rooms_record_created', 'rooms_record_deleted'])
        await session.query(`alter table rooms ${how} trigger ${trigger}`);
      const us = await once();
      if (round > 0) measured[how]!.push(us);
    }
  }
  const median = (values: number[]) => Math.round(values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!);
  console.log(
    `creating and deleting a room, without a webhook and without waiting for the disk: ${median(measured.enable!)} µs; without the triggers ${median(measured.disable!)} µs`,
  );
}

const measurements: Record<(typeof scenarios)[number], () => Promise<void>> = {
  delay: measureDelay,
  outage: measureOutage,
  takeover: measureTakeover,
  'many-rooms': measureManyRooms,
  sends: measureSends,
  rooms: measureRooms,
};

for (const name of only) await measurements[name]();
await onRunEnd();
process.exit(failures > 0 ? 1 : 0);
