import { execFileSync } from 'node:child_process';
import { freePort } from './free-port.ts';
import { type RedisConf, startRedis } from './redis.ts';
import { waitUntil } from './wait-until.ts';

/** Starts three masters and returns their URLs. `settings` are by their names in redis.conf. */
export async function startRedisCluster(settings: RedisConf = {}): Promise<string[]> {
  const cluster = { 'cluster-enabled': 'yes', 'cluster-node-timeout': '2000', ...settings };
  // By default, the port of the cluster is 10,000 above the other one, where another program may listen.
  const nodes = await Promise.all(
    [0, 1, 2].map(async () => startRedis({ ...cluster, 'cluster-port': String(await freePort()) })),
  );
  const [first] = nodes;
  const cli = (port: number, ...command: (string | number)[]) =>
    execFileSync('redis-cli', ['-p', String(port), ...command.map(String)], { encoding: 'utf8' });
  const readConfig = (port: number, name: string) => cli(port, 'CONFIG', 'GET', name).trim().split('\n').at(-1)!;
  // `redis-cli --cluster create` waits in steps of whole seconds, so the cluster is set up by hand.
  const firstBusPort = readConfig(first!.port, 'cluster-port');
  for (const [n, { port }] of nodes.entries()) {
    const [from, to] = [Math.ceil((n * 16_384) / 3), Math.ceil(((n + 1) * 16_384) / 3) - 1];
    cli(port, 'CLUSTER', 'ADDSLOTSRANGE', from, to);
    cli(port, 'CLUSTER', 'SET-CONFIG-EPOCH', n + 1);
    if (port !== first!.port) cli(port, 'CLUSTER', 'MEET', '127.0.0.1', first!.port, firstBusPort);
  }
  for (const { port } of nodes) {
    const isWhole = () => /cluster_state:ok.*cluster_known_nodes:3/s.test(cli(port, 'CLUSTER', 'INFO'));
    await waitUntil('the cluster is whole', isWhole, 15_000);
  }
  return nodes.map(({ url }) => url);
}
