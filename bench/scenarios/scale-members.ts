import { restCalls } from '../../test/helpers/rest-calls.ts';
import { adminToken, createUser, type TestUser } from '../../test/helpers/users.ts';
import { type Service, service } from '../contenders.ts';
import type { Databases } from '../databases.ts';
import { startLoad } from '../load/load.ts';
import { cpuMsOf } from '../machine/cpu.ts';
import { collectSteps, type Scenario, stallsIn } from '../scenario.ts';
import type { Sample } from '../statistics.ts';

const members = 20_000;
/** How many of the members are connected and join; BENCH_CONNECTIONS sets another number. */
const joining = Number(process.env.BENCH_CONNECTIONS ?? 5_000);
const atOnce = 64;

/** A room with a rule for each of its members: joins, a ban, a message, and whom to notify of it. */
export const scaleMembers: Scenario = {
  name: 'scale-members',
  title: `One room with ${members.toLocaleString('en-US')} rules, ${joining.toLocaleString('en-US')} connections on /chat`,
  isExtra: true,
  async run(databases, { seconds, against }) {
    const ours = await measureRoom(databases, seconds);
    const before = against === undefined ? [] : (await measureRoom(databases, seconds, against)).rows;
    return { ...ours, rows: [...ours.rows, ...before.map((row) => ({ ...row, name: `${row.name}, before` }))] };
  },
};

async function measureRoom(databases: Databases, seconds: number, checkout?: string) {
  const ours = await service(databases, {
    ...{ checkout, watchesStalls: true },
    settings: { MAX_RULES_PER_ROOM: '0', ADMIN_TOKEN: adminToken },
  });
  const [room] = (await ours.rooms(1)) as [number];
  const people = Array.from({ length: joining }, () => createUser());
  await addMembers(ours, room, people);
  const load = startLoad();
  await load.open({
    ...{ dialect: 'chat', urls: ours.urls, atOnce: 32, begins: 'outside' },
    ...{ tokens: people.map(({ token }) => token), rooms: people.map(() => room) },
  });
  const { rows, add } = collectSteps();
  const cost = async <T>(count: number, task: () => Promise<T>): Promise<[T, Sample]> => {
    await ours.nodes[0]!.stallMs();
    const before = [cpuMsOf(ours.pids), cpuMsOf(ours.behind)] as const;
    const startedAt = performance.now();
    const result = await task();
    const seconds = (performance.now() - startedAt) / 1_000;
    const [server, behind] = [cpuMsOf(ours.pids) - before[0], cpuMsOf(ours.behind) - before[1]];
    const sample = {
      seconds,
      serverUsPerRequest: (server * 1_000) / count,
      databasesUsPerRequest: (behind * 1_000) / count,
    };
    return [result, { ...sample, stallMs: await ours.nodes[0]!.stallMs() }];
  };
  add('join', (await cost(joining, () => load.join(atOnce)))[1]);
  const owner = restCalls(ours.urls[0]!, ours.owner.token);
  const banned = createUser();
  const path = `/rooms/${room}/members`;
  const put = async (permissions: string) => {
    const { status, body } = await owner.put(path, { userUUID: banned.user, permissions });
    if (status >= 300) throw new Error(JSON.stringify(body));
  };
  await put('rw');
  add('a ban', (await cost(1, () => put('b')))[1]);
  const [count, sending] = await cost(1, () => load.openLoop(seconds, 4, 1));
  add('4 messages/s', {
    ...{ ...sending, confirmP99Ms: count.confirmMs.p99, deliverP99Ms: count.deliverMs.p99 },
    serverUsPerDelivery: sending.serverUsPerRequest! / count.deliveriesInAll,
  });
  const admin = restCalls(ours.urls[0]!, adminToken);
  const [pages, listing] = await cost(members, () => listRecipients(admin, room));
  add(`recipients of all members, ${pages} pages`, listing);
  return { rows, reaches: stallsIn(rows), faults: await load.failures() };
}

async function addMembers(ours: Service, room: number, people: readonly TestUser[]): Promise<void> {
  const rule = `${room}, x, 'user', 'rw', 0, true, now(), now()`;
  const columns = 'room_id, grantee, kind, permissions, level, accepted, created_at, updated_at';
  const users = `{${people.map(({ user }) => user).join()}}`;
  await ours.query(`insert into permission_rules (${columns}) select ${rule} from unnest('${users}'::uuid[]) x`);
  await ours.query(`insert into permission_rules (${columns})
    select ${rule} from (select gen_random_uuid() as x from generate_series(1, ${members - people.length})) y`);
  await ours.query(`update rooms set max_entity_rules = ${2 * members} where id = ${room}`);
  await ours.query('vacuum analyze permission_rules');
}

async function listRecipients(admin: ReturnType<typeof restCalls>, room: number): Promise<number> {
  let after: string | undefined;
  for (let pages = 1; ; pages++) {
    const query = after === undefined ? {} : { after };
    const { status, body } = await admin.post(`/admin/rooms/${room}/messages/1/recipients`, query);
    if (status !== 200) throw new Error(JSON.stringify(body));
    after = body.meta.next ?? undefined;
    if (after === undefined) return pages;
  }
}
