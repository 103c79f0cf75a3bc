import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { createUser } from '../../test/helpers/users.ts';
import { type Service, service } from '../contenders.ts';
import { type Load, startLoad } from '../load/load.ts';
import { anonymousKibOf, cpuMsOf } from '../machine/cpu.ts';
import { atLeast, countOf, type Entrant, enter, faultsIn, type Row, type Scenario } from '../scenario.ts';
import { type Sample, spreadsOf } from '../statistics.ts';

const sizes = [0, 1_000, 10_000];
const senders = 64;
const roomsOfUser = 50;
/** Each room has about a hundred watchers if all inboxes are open. */
const allRooms = 5_000;
const bigUsers = 100;
const roomsOfBigUser = 1_000;
const opensAtOnce = 16;
/** How many inboxes are opened again to measure the rate. */
const opened = 500;

/** Measures what open inboxes cost the senders, and how late their items are. */
export const inbox: Scenario = {
  name: 'inbox',
  title: `${senders} senders in ${senders} rooms, closed loop, while inboxes of ${roomsOfUser} rooms each are open`,
  isExtra: true,
  async run(databases, { rounds, seconds, against }) {
    const rows: Row[] = [];
    const reaches = [];
    for (const checkout of against === undefined ? [undefined] : [undefined, against]) {
      const measured = await measureInboxes(await service(databases, { checkout }), rounds, seconds);
      const suffix = checkout === undefined ? '' : ', before';
      rows.push(...measured.map(({ name, samples }) => ({ name: name + suffix, figures: spreadsOf(samples) })));
      const rate = (size: number) =>
        rows.find(({ name }) => name === sendsName(size) + suffix)?.figures.sendsPerSecond?.median ?? Number.NaN;
      for (const size of sizes.slice(1))
        reaches.push(atLeast(0.9, `sends/s with ${format(size)} inboxes ÷ none${suffix}`, rate(size) / rate(0)));
    }
    return { rows, reaches, faults: faultsIn(rows) };
  },
};

const format = (count: number) => count.toLocaleString('en-US');
const sendsName = (size: number) => `sends, ${format(size)} open inboxes`;

interface Measured {
  name: string;
  samples: Sample[];
}

async function measureInboxes(ours: Service, rounds: number, seconds: number): Promise<Measured[]> {
  const sendRooms = await ours.rooms(senders);
  const rooms = [...sendRooms, ...(await addRooms(ours, allRooms - senders))];
  const entrant = await enter(ours.chat, { connections: senders, rooms: sendRooms });
  const load = startLoad();
  const [url] = ours.urls as [string];
  const [pid] = ours.pids as [number];
  const measured: Measured[] = [];
  let open = 0;
  await countOf(entrant, (senderLoad) => senderLoad.closedLoop(1, senders, 1));
  for (const size of sizes) {
    const added = size - open;
    let kibPerInbox = Number.NaN;
    if (added > 0) {
      const first = open;
      const tokens = await addUsers(ours, added, (n, k) => rooms[((first + n) * roomsOfUser + k) % rooms.length]!);
      await load.connectInboxes(url, tokens, 32);
      const before = await settledKibOf(pid);
      await load.openInboxes(opensAtOnce, added);
      kibPerInbox = ((await settledKibOf(pid)) - before) / added;
      open = size;
    }
    const samples: Sample[] = [];
    for (let round = 0; round < rounds; round++) {
      const sample = await measureSends(entrant, load, seconds);
      samples.push({ ...sample, ...(added > 0 && { kibPerInbox }) });
      process.stderr.write('.');
    }
    measured.push({ name: sendsName(size), samples });
  }
  const opens = async (name: string, count: number) => {
    const samples: Sample[] = [];
    for (let round = 0; round < rounds; round++) samples.push(await measureOpens(ours, load, count));
    measured.push({ name, samples });
  };
  await opens(`openings of ${roomsOfUser} rooms`, opened);
  const tokens = await addUsers(ours, bigUsers, (n, k) => rooms[(n * 7 + k) % rooms.length]!, roomsOfBigUser);
  await load.connectInboxes(url, tokens, 32);
  await opens(`openings of ${format(roomsOfBigUser)} rooms`, bigUsers);
  const { failures } = await load.reportInboxes();
  if (failures.length > 0) throw new Error(`Inboxes failed: ${failures.slice(0, 3).join(', ')}`);
  return measured;
}

async function measureSends(entrant: Entrant, load: Load, seconds: number): Promise<Sample> {
  await load.reportInboxes();
  const sample = await countOf(entrant, (senderLoad) => senderLoad.closedLoop(seconds, senders, 1));
  const { items, lagMs } = await load.reportInboxes();
  if (items === 0) return sample;
  return { ...sample, itemsPerSecond: items / seconds, lagP50Ms: lagMs.p50, lagP99Ms: lagMs.p99 };
}

async function measureOpens(ours: Service, load: Load, count: number): Promise<Sample> {
  const own = [...ours.pids, ...ours.behind];
  const cpuBefore = cpuMsOf(own);
  const { seconds, p50, p99 } = await load.openInboxes(opensAtOnce, count);
  return {
    opensPerSecond: count / seconds,
    serverUsPerRequest: ((cpuMsOf(own) - cpuBefore) * 1_000) / count,
    openP50Ms: p50,
    openP99Ms: p99,
  };
}

/** Adds rooms with 20 messages of the owner each. */
async function addRooms(ours: Service, count: number): Promise<number[]> {
  const user = `'${ours.owner.user}'`;
  const { rows } = await ours.query(`insert into rooms (uuid, name, type, level_admin, user_owner, max_entity_rules,
      last_seq, last_rev, last_change_at, created_at, updated_at)
    select gen_random_uuid(), 'a room', 'group', 1000, ${user}, 10, 20, 20, now(), now(), now()
    from generate_series(1, ${count}) returning id::float8 as id`);
  const rooms = rows.map(({ id }: { id: number }) => id);
  await ours.query(`insert into messages (room_id, seq, rev, emitter, content, created_at, updated_at)
    select r, n, n, ${user}, repeat('x', 100), now(), now() from unnest(array[${rooms}]::bigint[]) r, generate_series(1, 20) n`);
  return rooms;
}

/** Adds users with a rule in each of their rooms, and returns their tokens. */
async function addUsers(
  ours: Service,
  count: number,
  roomOf: (user: number, n: number) => number,
  roomsEach = roomsOfUser,
): Promise<string[]> {
  const users = Array.from({ length: count }, () => createUser({ user: randomUUID(), entity: randomUUID() }));
  const chunk = 500;
  for (let from = 0; from < count; from += chunk) {
    const part = users.slice(from, from + chunk);
    const rules = part.flatMap(({ user }, n) =>
      Array.from({ length: roomsEach }, (_, k) => `(${roomOf(from + n, k)},'${user}'::uuid)`),
    );
    await ours.query(`insert into permission_rules (room_id, grantee, kind, permissions, level, accepted, created_at,
        updated_at, from_seq)
      select room, grantee, 'user', 'rw', 0, true, now(), now(), 10 from (values ${rules}) as v(room, grantee)`);
  }
  await ours.query('vacuum analyze permission_rules');
  return users.map(({ token }) => token);
}

/** Collects garbage twice, and returns the memory. */
async function settledKibOf(pid: number): Promise<number> {
  for (let n = 0; n < 2; n++) {
    process.kill(pid, 'SIGUSR2');
    await pause(1_000);
  }
  return anonymousKibOf(pid);
}
