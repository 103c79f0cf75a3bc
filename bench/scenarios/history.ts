import { Agent, get } from 'node:http';
import { type Service, type Started, service, startBaseline } from '../contenders.ts';
import { cpuMsOf } from '../machine/cpu.ts';
import { atLeast, atMost, figure, inTurn, type Scenario } from '../scenario.ts';
import { quantile, type Sample } from '../statistics.ts';

const atOnce = 32;
const limit = 50;
const some = 100_000;
const many = 1_000_000;

/** Measures pages of a long history over HTTP, compared with an Express handler with the same SELECT. */
export const history: Scenario = {
  name: 'history',
  title: `The latest ${limit} messages of ${some.toLocaleString('en-US')} over HTTP, ${atOnce} at once`,
  async run(databases, { rounds, seconds }) {
    const ours = await service(databases);
    const [room, long] = (await ours.rooms(2)) as [number, number];
    await fill(ours, room, some);
    await fill(ours, long, many);
    const bare = await startBaseline('express-server.ts', { DATABASE_URL: ours.database });
    const [url] = ours.urls as [string];
    const behind = databases.pids();
    const asks = [
      { name: 'bare Express, same SELECT', ...pages(bare, `/rooms/${room}/messages?limit=${limit}`) },
      { name: 'nano-messaging', ...pages({ url, pid: ours.pids[0]! }, `/rooms/${room}/messages?limit=${limit}`) },
      {
        name: 'of 1,000,000: first page',
        ...pages({ url, pid: ours.pids[0]! }, `/rooms/${long}/messages?limit=${limit}`),
      },
      {
        name: 'of 1,000,000: page at half',
        ...pages({ url, pid: ours.pids[0]! }, `/rooms/${long}/messages?limit=${limit}&before=${many / 2}`),
      },
    ];
    const measure = ({ pid, url }: { pid: number; url: string }) =>
      requests(url, ours.owner.token, seconds, [pid, ...behind]);
    for (const ask of asks) await measure(ask);
    const rows = await inTurn(asks, rounds, measure);
    const rate = (name: string) => figure(rows, name, 'requestsPerSecond');
    const reaches = [
      atLeast(0.8, 'requests/s ÷ bare Express', rate('nano-messaging') / rate('bare Express, same SELECT')),
      atMost(
        1.2,
        'time of the page at half of 1,000,000 ÷ first page',
        rate('of 1,000,000: first page') / rate('of 1,000,000: page at half'),
      ),
    ];
    return { rows, reaches, faults: [] };
  },
};

const pages = ({ url, pid }: Started, path: string) => ({ url: url + path, pid });

/** Inserts messages in one statement. The resulting log is the same as after sends. */
export async function fill(ours: Service, room: number, messages: number): Promise<void> {
  const user = ours.owner.user;
  await ours.query(`insert into messages (room_id, seq, rev, emitter, content, created_at, updated_at)
    select ${room}, n, n, '${user}', repeat('x', 100), now() + n * interval '1 ms', now() + n * interval '1 ms'
    from generate_series(1, ${messages}) n`);
  await ours.query(`update rooms set last_seq = ${messages}, last_rev = ${messages},
    last_change_at = now() + ${messages} * interval '1 ms' where id = ${room}`);
  // In production, autovacuum does this within a minute or two.
  await ours.query('vacuum analyze messages');
}

/** Runs a closed loop over kept-alive connections. Reads each response to its end and requires status 200. */
export async function requests(url: string, token: string, seconds: number, pids: number[]): Promise<Sample> {
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce });
  const headers = { Authorization: `Bearer ${token}` };
  const took: number[] = [];
  const [began, cpuBefore] = [performance.now(), cpuMsOf([...pids, process.pid])];
  const ask = () =>
    new Promise<void>((resolve, reject) => {
      get(url, { agent, headers }, (response) => {
        if (response.statusCode !== 200) return reject(new Error(`${url} answered ${response.statusCode}`));
        response.resume().on('end', resolve);
      }).on('error', reject);
    });
  const askOn = async (): Promise<void> => {
    while (performance.now() < began + seconds * 1_000) {
      const from = performance.now();
      await ask();
      took.push(performance.now() - from);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, askOn));
  const elapsed = (performance.now() - began) / 1_000;
  const cpuUs = (cpuMsOf([...pids, process.pid]) - cpuBefore) * 1_000;
  agent.destroy();
  took.sort((a, b) => a - b);
  return {
    requestsPerSecond: took.length / elapsed,
    cpuUsPerRequest: cpuUs / took.length,
    confirmP50Ms: quantile(took, 0.5),
    confirmP99Ms: quantile(took, 0.99),
  };
}
