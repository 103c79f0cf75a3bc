import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { closeLater } from '../../test/helpers/cleanup.ts';
import { adminToken, createUser } from '../../test/helpers/users.ts';
import { type Service, service } from '../contenders.ts';
import { cpuMsOf } from '../machine/cpu.ts';
import { atMost, collectSteps, figure, type Scenario } from '../scenario.ts';
import { quantile, type Sample } from '../statistics.ts';
import { insertRooms } from './scale-rooms.ts';

const rooms = 1_000_000;
const roomsOfUser = 5_000;
const requestsOfEach = 10;

interface Ask {
  name: string;
  path: string;
  token: string;
}

/** Requests whose cost could grow with the rooms of the database, and the registration of a webhook. */
export const scaleDatabase: Scenario = {
  name: 'scale-database',
  title: `${rooms.toLocaleString('en-US')} rooms in the database, and a user in ${roomsOfUser.toLocaleString('en-US')} of them`,
  isExtra: true,
  async run(databases) {
    const ours = await service(databases, { watchesStalls: true, settings: { ADMIN_TOKEN: adminToken } });
    const ids = await insertRooms(ours, rooms);
    const person = createUser();
    await prepare(ours, person.user);
    const middle = ids[rooms / 2]!;
    const admin = (name: string, query: string): Ask => ({
      ...{ name: `GET /admin/rooms${name}`, path: `/admin/rooms?limit=100${query}`, token: adminToken },
    });
    const asks: Ask[] = [
      { name: 'GET /rooms', path: '/rooms', token: person.token },
      { name: 'GET /rooms?limit=50', path: '/rooms?limit=50', token: person.token },
      { name: 'GET /rooms?inbox=true', path: '/rooms?inbox=true&limit=50', token: person.token },
      admin('', ''),
      admin(', from the middle', `&after=${middle}`),
      admin(', a prefix of all keys', '&key_prefix=order-'),
      admin(', a prefix of all keys, from the middle', `&key_prefix=order-&after=${middle}`),
      admin(', a prefix of 11 keys', '&key_prefix=order-12345'),
      admin(`, a user in ${roomsOfUser}`, `&user=${person.user}`),
      admin(', an organisation in all', `&entity=${ours.owner.entity}`),
      admin(', an organisation in all, from the middle', `&entity=${ours.owner.entity}&after=${middle}`),
    ];
    const { rows, add } = collectSteps();
    for (const ask of asks) add(ask.name, await measure(ours, ask));
    add('registration of a webhook', await registerWebhook(databases, ours));
    const reaches = asks.map(({ name }) => atMost(200, `${name}: p50 ms`, figure(rows, name, 'confirmP50Ms')));
    return { rows, reaches, faults: [] };
  },
};

async function prepare(ours: Service, user: string): Promise<void> {
  await ours.query(`insert into room_keys (key, room_id) select 'order-' || id, id from rooms`);
  await ours.query(`insert into permission_rules
    (room_id, grantee, kind, permissions, level, accepted, created_at, updated_at)
    select id, '${user}', 'user', 'rw', 0, true, now(), now() from rooms order by random() limit ${roomsOfUser}`);
  await ours.query('vacuum analyze room_keys, permission_rules');
}

/** One request after the other. */
async function measure(ours: Service, { path, token }: Ask): Promise<Sample> {
  const took: number[] = [];
  const ask = async () => {
    const startedAt = performance.now();
    const response = await fetch(ours.urls[0] + path, { headers: { Authorization: `Bearer ${token}` } });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${path} answered ${response.status}: ${text.slice(0, 200)}`);
    took.push(performance.now() - startedAt);
  };
  await ask();
  await ours.nodes[0]!.stallMs();
  took.length = 0;
  const before = [cpuMsOf(ours.pids), cpuMsOf(ours.behind)] as const;
  for (let n = 0; n < requestsOfEach; n++) await ask();
  const after = [cpuMsOf(ours.pids), cpuMsOf(ours.behind)] as const;
  took.sort((a, b) => a - b);
  return {
    serverUsPerRequest: ((after[0] - before[0]) * 1_000) / requestsOfEach,
    databasesUsPerRequest: ((after[1] - before[1]) * 1_000) / requestsOfEach,
    ...{ confirmP50Ms: quantile(took, 0.5), confirmP99Ms: quantile(took, 0.99) },
    stallMs: await ours.nodes[0]!.stallMs(),
  };
}

/** Starts another node with a new endpoint, which gets a position in each room. */
async function registerWebhook(databases: Parameters<typeof service>[0], ours: Service): Promise<Sample> {
  const receiver = createServer((request, response) => request.resume().on('end', () => response.end()));
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  closeLater(() => receiver.close());
  const { port } = receiver.address() as AddressInfo;
  const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
  const WEBHOOKS = JSON.stringify([{ name: 'all', url: `http://127.0.0.1:${port}/`, secret }]);
  const startedAt = performance.now();
  await service(databases, { database: ours.database, settings: { WEBHOOKS } });
  const count = async () => Number((await ours.query('select count(*) as count from webhook_positions')).rows[0].count);
  while ((await count()) < rooms) {
    if (performance.now() - startedAt > 120_000) throw new Error('The webhook was not registered within two minutes');
    await pause(200);
  }
  return { seconds: (performance.now() - startedAt) / 1_000 };
}
