import { resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { chatClient } from '../../test/helpers/chat-client.ts';
import { onRunEnd } from '../../test/helpers/cleanup.ts';
import { freshDatabase } from '../../test/helpers/postgres.ts';
import { dataDirectory, runServer } from '../../test/helpers/process.ts';
import { restCalls } from '../../test/helpers/rest-calls.ts';
import { createUser, type TestUser, testSecret } from '../../test/helpers/users.ts';
import { parseName, parseWholeNumber, readCommandLine } from '../command-line.ts';
import { Latencies } from '../outage/percentiles.ts';
import type { Answers, Load } from './load.ts';

const usage = `node tools/attacks/slow-sends.ts [options]: measures how long the messages of one user take while another user loads the same
room, with the default settings

  --load NAME         only this load; you can repeat it
  --seconds N         duration of each load (6)
  --parallel N        concurrent requests of the load (20)
  --database KIND     embedded or postgres (embedded)
  --checkout PATH     measures another checkout of the service
  --help`;

const options = {
  checkout: { type: 'string', default: resolve(import.meta.dirname, '../..') },
  database: { type: 'string', default: 'embedded' },
  load: { type: 'string', multiple: true },
  seconds: { type: 'string', default: '6' },
  parallel: { type: 'string', default: '20' },
} as const;
const { seconds, parallel, ...values } = readCommandLine(usage, options, (given) => ({
  ...given,
  database: parseName('database', given.database, ['embedded', 'postgres']),
  seconds: parseWholeNumber('seconds', given.seconds, 1),
  parallel: parseWholeNumber('parallel', given.parallel, 1),
}));
const sendEveryMs = 100;

interface Room {
  id: number;
  owner: TestUser;
  victim: TestUser;
  /** A user who may read the room. */
  reader: TestUser;
  outsider: TestUser;
  /** The cursor of a message some 400 messages before the end. */
  cursor: string;
}

/** The loads by what the attacker does. */
const loads: Record<string, (room: Room, other: Room) => Partial<Load> & { token: string }> = {
  nothing: ({ reader }) => ({ token: reader.token, requests: [], parallel: 0 }),
  'history reads': ({ id, reader }) => ({
    token: reader.token,
    requests: [{ method: 'GET', path: `/rooms/${id}/messages?limit=500` }],
  }),
  'refused PATCHes': ({ id, outsider }) => ({
    token: outsider.token,
    requests: [{ method: 'PATCH', path: `/rooms/${id}`, body: { name: 'mine' } }],
  }),
  'refused messages': ({ id, outsider }) => ({
    token: outsider.token,
    requests: [{ method: 'POST', path: `/rooms/${id}/messages`, body: { content: 'let me in' } }],
  }),
  'joins with since': ({ id, reader, cursor }, other) => ({
    token: reader.token,
    kind: 'joins',
    commands: [
      { type: 'select_room', room_id: id, since: cursor },
      { type: 'select_room', room_id: other.id },
    ],
  }),
  'room lists': ({ reader }) => ({ token: reader.token, requests: [{ method: 'GET', path: '/rooms' }] }),
  'token refreshes': ({ reader }) => ({
    token: reader.token,
    kind: 'joins',
    commands: [{ type: 'token', content: reader.token }],
  }),
  'bad tokens': ({ outsider }) => ({
    token: `${outsider.token.slice(0, -2)}xx`,
    requests: [{ method: 'GET', path: '/rooms' }],
  }),
  documents: ({ outsider }) => ({
    token: outsider.token,
    requests: ['/openapi.json', '/asyncapi.json', '/docs'].map((path) => ({ method: 'GET', path })),
  }),
  'invitation toggles': ({ id, reader }) => ({
    token: reader.token,
    requests: [false, true].map((accepted) => ({ method: 'PUT', path: `/rooms/${id}/invitation`, body: { accepted } })),
  }),
  renames: ({ id, owner }) => ({
    token: owner.token,
    requests: ['one', 'other'].map((name) => ({ method: 'PATCH', path: `/rooms/${id}`, body: { name } })),
  }),
};

async function makeRoom(url: string, reader: TestUser): Promise<Room> {
  const [owner, victim, outsider] = [createUser({ level: 100 }), createUser(), createUser({ level: 0 })];
  const admin = restCalls(url, owner.token);
  const { content } = (await admin.post('/rooms', { name: 'busy', max_entity_rules: 50 })).body;
  const { id } = content.room;
  const writers = Array.from({ length: 8 }, () => createUser());
  for (const { user } of [victim, ...writers]) {
    await admin.put(`/rooms/${id}/members`, { userUUID: user, permissions: 'rw' });
  }
  await admin.put(`/rooms/${id}/members`, { userUUID: reader.user, permissions: 'r' });
  const cursors: string[] = [];
  for (let n = 0; n < 80; n++) {
    const said = await Promise.all(
      writers.map(({ token }) =>
        restCalls(url, token).post(`/rooms/${id}/messages`, { content: `${n} `.padEnd(400, 'x') }),
      ),
    );
    cursors.push(...said.map(({ body }) => body.meta.cursor));
  }
  return { id, owner, victim, reader, outsider, cursor: cursors.at(-380)! };
}

/** Sends at a steady rate until `done`, whether or not the server has answered. */
async function measure(url: string, { id, victim }: Room, latencies: Latencies, name: string, done: Promise<unknown>) {
  const client = await chatClient(url);
  client.send({ type: 'token', content: victim.token });
  client.send({ type: 'select_room', room_id: id, id: 'select' });
  await client.skipTo(({ id }) => id === 'select');
  const sentAt = new Map<string, number>();
  let answered = 0;
  client.socket.on('message', (data) => {
    const frame = JSON.parse(data.toString());
    const at = sentAt.get(frame.id);
    if (at === undefined || frame.type !== 'message') return;
    latencies.add(name, performance.now() - at);
    answered += 1;
  });
  let sent = 0;
  const sending = setInterval(() => {
    const mark = `send ${sent++}`;
    sentAt.set(mark, performance.now());
    client.send({ type: 'message', content: mark, id: mark });
  }, sendEveryMs);
  await done;
  clearInterval(sending);
  for (let tries = 0; answered < sent && tries < 300; tries++) await new Promise((resolve) => setTimeout(resolve, 100));
  client.close();
  return { sent, answered };
}

async function main(): Promise<void> {
  const env = {
    ...{ JWT_SECRET: testSecret, LOG_LEVEL: 'info' },
    ...(values.database === 'postgres' ? { DATABASE_URL: await freshDatabase() } : { DATA_DIR: dataDirectory() }),
  };
  const { url } = await runServer(env, resolve(values.checkout));
  const latencies = new Latencies();
  const rows: Record<string, unknown> = {};
  for (const [name, loadOf] of Object.entries(loads)) {
    if (values.load && !values.load.includes(name)) continue;
    const reader = createUser();
    const room = await makeRoom(url, reader);
    const other = await makeRoom(url, reader);
    const load = { kind: 'requests', url, seconds, parallel, requests: [], commands: [], ...loadOf(room, other) };
    const worker = new Worker(new URL('./load-worker.ts', import.meta.url), { workerData: load });
    const ended = new Promise<Answers>((resolve, reject) => worker.once('message', resolve).once('error', reject));
    const answers = load.parallel > 0 ? ended : new Promise((resolve) => setTimeout(resolve, seconds * 1_000, {}));
    const { sent, answered } = await measure(url, room, latencies, name, answers);
    const { count: _, ...ms } = latencies.row(name);
    rows[name] = { ...ms, sent, answered, answers: JSON.stringify(await answers) };
    await worker.terminate();
  }
  console.log(`${values.checkout}, ${values.database}: ms until a message of the victim is acknowledged, by load`);
  console.table(rows);
}

await main().finally(onRunEnd);
process.exit(0);
