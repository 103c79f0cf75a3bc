import { setTimeout as delay } from 'node:timers/promises';
import { io } from 'socket.io-client';
import { onRunEnd } from '../../test/helpers/cleanup.ts';
import { databaseSession } from '../../test/helpers/database-session.ts';
import { startPostgres } from '../../test/helpers/postgres.ts';
import { runServer } from '../../test/helpers/process.ts';
import { restCalls } from '../../test/helpers/rest-calls.ts';
import { createUser, testSecret } from '../../test/helpers/users.ts';
import { parseWholeNumber, readCommandLine } from '../command-line.ts';

const usage = `npm exec -- node tools/deletion/run.ts [options]: deletes a large room while messages are sent in another room, on a PostgreSQL that
waits for the disk. Reports how long the deletion took until its answer and until no rows were left, and how long the sends took.

  --messages N        messages of the room (1000000)
  --rate N            messages per second in the other room (50)
  --checkout FOLDER   measures another checkout, with its node_modules
  --help`;

const options = {
  messages: { type: 'string', default: '1000000' },
  rate: { type: 'string', default: '50' },
  checkout: { type: 'string' },
} as const;
const { messages, rate, checkout } = readCommandLine(usage, options, (values) => ({
  messages: parseWholeNumber('messages', values.messages, 1),
  rate: parseWholeNumber('rate', values.rate, 1),
  checkout: values.checkout,
}));

const postgres = await startPostgres({
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  max_wal_size: '4GB',
});
const settings = {
  DATABASE_URL: postgres.url,
  JWT_SECRET: testSecret,
  LOG_LEVEL: 'info',
  DATABASE_TIMEOUT_SECONDS: 120,
};
const node = await runServer({ ...settings, SEND_RATE: 0, REQUEST_RATE: 0 }, checkout);
const owner = createUser({ level: 100 });
const rest = restCalls(node.url, owner.token);
const session = await databaseSession(postgres.url);
const watcher = await databaseSession(postgres.url);

async function createRoom(): Promise<number> {
  return (await rest.post('/rooms', { name: 'a room' })).body.content.room.id;
}

const [room, other] = [await createRoom(), await createRoom()];
await session.query(
  `insert into messages (room_id, seq, rev, emitter, content, created_at, updated_at)
   select $1::bigint, n, n, $2::uuid, 'message ' || n || repeat(' of a room', 5), now(), now() from generate_series(1, $3::int) n`,
  [room, owner.user, messages],
);
await session.query('update rooms set last_seq = $2::int, last_rev = $2::int where id = $1', [room, messages]);
await session.query('analyze messages');
await session.query('checkpoint');

const socket = io(`${node.url}/rooms`, { auth: { token: owner.token }, transports: ['websocket'] });
await new Promise<void>((resolve) => socket.once('connect', resolve));

const sends: { at: number; ms: number }[] = [];
let isSending = true;
async function sendAtRate(): Promise<void> {
  const begunAt = performance.now();
  for (let n = 0; isSending; n++) {
    await delay(Math.max(0, begunAt + (n * 1_000) / rate - performance.now()));
    const at = performance.now();
    void socket.emitWithAck('message:send', { room_id: other, content: `${n}` }).then(() => {
      sends.push({ at, ms: performance.now() - at });
    });
  }
}

let longestStatementMs = 0;
async function watchStatements(): Promise<void> {
  while (isSending) {
    const { rows } = await watcher.query<{ ms: number }>(
      `select coalesce(max(extract(epoch from clock_timestamp() - query_start) * 1000), 0)::float8 as ms from pg_stat_activity
       where state = 'active' and datname = current_database() and query like '%remove_deleted_rows%' and pid <> pg_backend_pid()`,
    );
    longestStatementMs = Math.max(longestStatementMs, rows[0]!.ms);
    await delay(2);
  }
}

const describeSends = (from: number, to: number): string => {
  const sorted = sends.filter(({ at }) => at >= from && at < to).map(({ ms }) => ms);
  sorted.sort((a, b) => a - b);
  const show = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]?.toFixed(1);
  return `${sorted.length} sends, median ${show(0.5)} ms, p99 ${show(0.99)} ms, longest ${show(1)} ms`;
};

const [{ exists }] = (
  await session.query<{ exists: boolean }>("select to_regclass('deleted_rooms') is not null as exists")
).rows as [{ exists: boolean }];
const sending = sendAtRate();
const watching = watchStatements();
await delay(5_000);
const deletedAt = performance.now();
const { status } = await rest.delete(`/rooms/${room}`);
const answeredAt = performance.now();
const count = async () =>
  exists
    ? (await session.query('select 1 from deleted_rooms')).rowCount!
    : (await rest.get(`/rooms/${room}`)).status === 404
      ? 0
      : 1;
while ((await count()) > 0) await delay(50);
const goneAt = performance.now();
await delay(2_000);
isSending = false;
await Promise.all([sending, watching]);
await delay(500);
const { rows: left } = await session.query<{ n: string }>('select count(*) as n from messages where room_id = $1', [
  room,
]);

console.log(
  `deleting a room of ${messages} messages: answered with ${status} after ${(answeredAt - deletedAt).toFixed(0)} ms`,
);
console.log(`no rows left after ${((goneAt - deletedAt) / 1_000).toFixed(1)} s (${left[0]!.n} messages)`);
console.log(`sends before: ${describeSends(0, deletedAt)}`);
console.log(`sends until no rows were left: ${describeSends(deletedAt, goneAt)}`);
if (exists) console.log(`longest statement that removed rows: ${longestStatementMs.toFixed(0)} ms`);

socket.close();
node.kill('SIGTERM');
await node.exited;
await onRunEnd();
