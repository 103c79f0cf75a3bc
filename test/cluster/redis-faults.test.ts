import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { createClient } from 'redis';
import { connectBusNode } from '../helpers/bus-nodes.ts';
import { type CapturedLog, captureLog } from '../helpers/captured-log.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { freePort } from '../helpers/free-port.ts';
import { embedded, type Settings, startNode } from '../helpers/node.ts';
import {
  createSharedRoom,
  itWithBothAdapters,
  readMetric,
  receiveSeqs,
  sendNumbered,
  serviceSettings,
  upTo,
  waitForBus,
} from '../helpers/node-pair.ts';
import type { RedisServer } from '../helpers/redis.ts';
import { startRedis } from '../helpers/redis.ts';
import { tcpProxy } from '../helpers/tcp-proxy.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const requirements = readFileSync(new URL('../../docs/operations/requirements.md', import.meta.url), 'utf8');
/** The documented ACL rule, split into the arguments of a command. */
const ruleOf = (user: string) =>
  new RegExp(`^ACL SETUSER ${user} (.*)$`, 'm').exec(requirements)![1]!.replace('>PASSWORD', '>secret').split(' ');

const cli = ({ port }: { port: number }, ...words: string[]) =>
  execFileSync('redis-cli', ['-p', String(port), ...words], { encoding: 'utf8' }).trim();
const as = (user: string, { url }: { url: string }) => url.replace('//', `//${user}:secret@`);

interface LoggedPair {
  here: { url: string };
  there: { url: string };
  log: CapturedLog;
}

/** Two nodes that share a log. */
async function loggedPair(url: string, more: Settings = {}): Promise<LoggedPair> {
  const settings = { ...(await serviceSettings(url)), ...more };
  const log = captureLog();
  const [here, there] = [0, 1].map(() => startNode(embedded, settings, undefined, log.logger));
  return { here: await here!, there: await there!, log };
}

async function hearEachOther({ here, there }: LoggedPair): Promise<void> {
  const { room, near, far } = await createSharedRoom(here, there);
  await sendNumbered(near, room, 2);
  await sendNumbered(far, room, 2);
  for (const socket of [near, far]) expect(await receiveSeqs(socket, 4)).to.deep.equal(upTo(4));
}

const isDown = 'bus disconnected';
const isUp = 'bus connected';
/** Only the warnings about Redis and the bus. */
const warningsOn = (log: CapturedLog) => log.warnings().filter(({ msg }) => /Redis|other nodes/.test(msg));

const notCounted = 'counting user connections in Redis failed';

describe('The Redis account', () => {
  it('grants the Redis account all permissions for the sharded adapter with the documented rule', async () => {
    const redis = await startRedis();
    cli(redis, 'ACL', 'SETUSER', 'nano', ...ruleOf('nano'));
    const pair = await loggedPair(as('nano', redis), { REDIS_ADAPTER: 'auto', MAX_CONNECTIONS_PER_USER: 9 });
    await hearEachOther(pair);
    expect(pair.log.startingWith(isUp).map(({ adapter }) => adapter)).to.deep.equal(['sharded', 'sharded']);
    expect(warningsOn(pair.log)).to.deep.equal([]);
    expect(cli(redis, 'KEYS', 'nano:*'), 'connections are counted').to.contain(':connections:');
    expect(cli(redis, 'ACL', 'LOG')).to.equal('');
  });

  it('logs a missing permission for the pattern of the classic adapter, and connects once the documented pattern is allowed', async () => {
    const redis = await startRedis();
    cli(redis, 'ACL', 'SETUSER', 'nano', ...ruleOf('nano'));
    const pair = await loggedPair(as('nano', redis), { REDIS_ADAPTER: 'classic', MAX_CONNECTIONS_PER_USER: 9 });
    await waitUntil('both nodes have logged it', () => pair.log.startingWith(isDown).length >= 2);
    await waitForBus('down', pair.here, pair.there);
    const [warning] = pair.log.startingWith(isDown);
    expect(warning!.err!.message).to.match(/^NOPERM/);
    expect(warning!.hint).to.contain('ACL GETUSER');
    expect(pair.log.startingWith(isDown), 'once per node, despite many retries').to.have.lengthOf(2);
    // The documentation takes the pattern from this field.
    const pattern = String(warning!.channel);
    expect(pattern).to.match(/^nano:.+#\/#\*$/);
    const classic = ruleOf('nano-classic').map((word) =>
      word.startsWith('&nano:') && word.endsWith('#/#*') ? `&${pattern}` : word,
    );
    expect(classic).to.include(`&${pattern}`);
    cli(redis, 'ACL', 'SETUSER', 'nano', ...classic);
    await waitForBus('up', pair.here, pair.there);
    await hearEachOther(pair);
    // The bus of a node may have been up briefly before its subscription was refused.
    const failures = pair.log.startingWith(isUp).map((entry) => Number(entry.failures ?? 0));
    expect(Math.max(...failures)).to.be.above(0);
    cli(redis, 'ACL', 'LOG', 'RESET');
    await hearEachOther(pair);
    expect(cli(redis, 'ACL', 'LOG')).to.equal('');
  });

  it('logs that the Redis account may not count connections, and still delivers messages', async () => {
    const redis = await startRedis();
    cli(redis, 'ACL', 'SETUSER', 'nano', ...ruleOf('nano'), '-zadd');
    const pair = await loggedPair(as('nano', redis), { MAX_CONNECTIONS_PER_USER: 9 });
    await hearEachOther(pair);
    expect(pair.log.startingWith(notCounted)[0]!.hint).to.contain('ACL GETUSER');
    expect(await readMetric(pair.here, 'nano_messaging_connection_lease_failures_total')).to.be.above(0);
    expect(await readMetric(pair.here, 'nano_messaging_bus_up')).to.equal(1);
  });

  it('logs that Redis rejects the password, and reconnects once the password is valid again', async () => {
    const redis = await startRedis();
    const pair = await loggedPair(redis.url);
    cli(redis, 'CONFIG', 'SET', 'requirepass', 'another');
    cli(redis, '-a', 'another', '--no-auth-warning', 'CLIENT', 'KILL', 'TYPE', 'normal');
    cli(redis, '-a', 'another', '--no-auth-warning', 'CLIENT', 'KILL', 'TYPE', 'pubsub');
    await waitForBus('down', pair.here, pair.there);
    await waitUntil('the cause is logged', () =>
      pair.log.startingWith(isDown).some(({ err }) => err!.message.startsWith('NOAUTH')),
    );
    cli(redis, '-a', 'another', '--no-auth-warning', 'CONFIG', 'SET', 'requirepass', '');
    await waitForBus('up', pair.here, pair.there);
    await hearEachOther(pair);
  });
});

/** A host name that resolves to the first of two servers, a master and its replica. */
async function masterAndReplica(): Promise<{
  name: { url: string; leadTo(port: number): void };
  servers: [RedisServer, RedisServer];
}> {
  const [master, replica] = [await startRedis(), await startRedis({ 'repl-diskless-sync-delay': '0' })];
  cli(master, 'CONFIG', 'SET', 'repl-diskless-sync-delay', '0');
  cli(replica, 'REPLICAOF', '127.0.0.1', String(master.port));
  await waitUntil('it replicates', () => cli(replica, 'INFO', 'replication').includes('master_link_status:up'), 15_000);
  const line = await tcpProxy('127.0.0.1', master.port);
  return { name: { url: `redis://127.0.0.1:${line.port}`, leadTo: line.redirectTo }, servers: [master, replica] };
}

describe('A Redis replica', () => {
  itWithBothAdapters(
    'leaves the old Redis master for the new one after a failover, although the old connection works',
    async (adapter) => {
      const { name, servers } = await masterAndReplica();
      const pair = await loggedPair(name.url, { REDIS_ADAPTER: adapter });
      await hearEachOther(pair);
      const [old, fresh] = servers;
      cli(fresh, 'REPLICAOF', 'NO', 'ONE');
      cli(old, 'REPLICAOF', '127.0.0.1', String(fresh.port));
      name.leadTo(fresh.port);
      await waitUntil('it is noticed', () => pair.log.startingWith(isDown).length >= 2);
      expect(pair.log.startingWith(isDown)[0]).to.include({ hint: pair.log.startingWith(isDown)[1]!.hint });
      expect(pair.log.startingWith(isDown)[0]!.err!.message).to.contain('replica');
      await waitForBus('up', pair.here, pair.there);
      const subscribers = () => cli(fresh, 'CLIENT', 'LIST', 'TYPE', 'pubsub').split('\n').length;
      await waitUntil('each node has one subscriber', () => subscribers() === 2);
      await hearEachOther(pair);
    },
  );

  it('starts without a bus if REDIS_URL leads to a replica, logs it, and connects once the host name leads to the master', async () => {
    const { name, servers } = await masterAndReplica();
    name.leadTo(servers[1].port);
    const pair = await loggedPair(name.url);
    await waitUntil('it is logged', () => pair.log.startingWith(isDown).length > 0);
    await waitForBus('down', pair.here, pair.there);
    expect(pair.log.startingWith(isDown)[0]!.hint).to.contain('must lead to the master');
    const { room, near } = await createSharedRoom(pair.here, pair.here);
    await sendNumbered(near, room, 1);
    name.leadTo(servers[0].port);
    await waitForBus('up', pair.here, pair.there);
    await hearEachOther(pair);
  });
});

describe('A Redis with restrictions', () => {
  it('still counts connections if Redis reaches maxmemory', async () => {
    const redis = await startRedis({ maxmemory: '1', 'maxmemory-policy': 'noeviction' });
    const pair = await loggedPair(redis.url, { MAX_CONNECTIONS_PER_USER: 9 });
    await hearEachOther(pair);
    expect(cli(redis, 'KEYS', 'nano:*')).to.contain(':connections:');
    expect(warningsOn(pair.log)).to.deep.equal([]);
  });

  it('still delivers messages if Redis refuses writes, and logs that connections are not counted', async () => {
    const redis = await startRedis({ 'min-replicas-to-write': '1' });
    const pair = await loggedPair(redis.url, { MAX_CONNECTIONS_PER_USER: 9 });
    await hearEachOther(pair);
    expect(pair.log.startingWith(notCounted)[0]!.err!.message).to.match(/NOREPLICAS/);
    expect(pair.log.startingWith(notCounted)[0]!.hint).to.contain('min-replicas-to-write');
    expect(pair.log.startingWith(notCounted), 'once per node').to.have.lengthOf(2);
    expect(await readMetric(pair.here, 'nano_messaging_bus_up')).to.equal(1);
    cli(redis, 'CONFIG', 'SET', 'min-replicas-to-write', '0');
    await hearEachOther(pair);
    await waitUntil(
      'it is over',
      () => pair.log.startingWith('user connections are counted in Redis again').length > 0,
    );
  });

  it('starts a node despite an unusable Redis, and logs the error with a hint', async () => {
    const [locked, limited, plain, paused] = await Promise.all([
      startRedis({ requirepass: 'right' }),
      startRedis({ maxclients: '1' }),
      startRedis(),
      startRedis(),
    ]);
    const keeper = createClient({ url: limited.url });
    await keeper.connect();
    closeLater(() => keeper.destroy());
    cli(paused, 'CLIENT', 'PAUSE', '60000', 'ALL');
    const rows: [what: string, url: string, hint: string][] = [
      ['a wrong password', locked.url.replace('//', '//:wrong@'), 'The user or the password'],
      ['no password', locked.url, 'The user or the password'],
      ['too many clients', limited.url, 'maxclients'],
      ['a database that does not exist', `${plain.url}/99`, 'does not exist in this Redis'],
      ['TLS on a plain port', plain.url.replace('redis:', 'rediss:'), 'TLS'],
      ['a server that is paused', paused.url, 'paused, frozen'],
      ['no server', `redis://127.0.0.1:${await freePort()}`, ''],
    ];
    await Promise.all(
      rows.map(async ([what, url, hint]) => {
        const { logger, startingWith } = captureLog();
        const node = await connectBusNode({ urls: [url], adapter: 'auto', prefix: 'test' }, 'x', logger);
        const said = () => startingWith('connecting to Redis failed');
        await waitUntil(`${what} is logged`, () => said().length > 0, 20_000);
        expect(String(said()[0]!.hint ?? ''), what).to.contain(hint);
        expect(said()[0]!.level).to.equal(50);
        expect(node.isUp).to.equal(false);
        expect(JSON.stringify(said()), 'without the password').not.to.contain('wrong@');
      }),
    );
  });
});
