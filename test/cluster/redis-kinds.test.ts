import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { createClient } from 'redis';
import { connectBusNodes } from '../helpers/bus-nodes.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { freePort } from '../helpers/free-port.ts';
import { embedded, type Settings, startNode } from '../helpers/node.ts';
import {
  createSharedRoom,
  itWithBothAdapters,
  receiveSeqs,
  sendNumbered,
  serviceSettings,
  upTo,
  waitForBus,
} from '../helpers/node-pair.ts';
import { runServer } from '../helpers/process.ts';
import { sharedRedis, startRedis } from '../helpers/redis.ts';
import { startRedisCluster } from '../helpers/redis-cluster.ts';
import { selfSigned } from '../helpers/self-signed.ts';
import { testSecret } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

type Nodes = { url: string }[];

/** Each node delivers the messages of the other: over the bus, because no reconciliation runs. */
async function hearEachOther([here, there]: Nodes): Promise<void> {
  await waitForBus('up', here!, there!);
  for (let room = 0; room < 3; room++) {
    const talk = await createSharedRoom(here!, there!);
    await sendNumbered(talk.near, talk.room, 3);
    await sendNumbered(talk.far, talk.room, 3);
    for (const socket of [talk.near, talk.far]) expect(await receiveSeqs(socket, 6)).to.deep.equal(upTo(6));
  }
}

async function twoNodes(url: string, more: Settings = {}): Promise<Nodes> {
  const settings = { ...(await serviceSettings(url)), ...more };
  return [await startNode(embedded, settings), await startNode(embedded, settings)];
}

describe('The bus', () => {
  let cluster: string[] = [];
  before(async function () {
    this.timeout(60_000);
    cluster = await startRedisCluster();
  });

  it('connects the bus to a Redis Cluster through one or several nodes, with the sharded and the classic adapter', async () => {
    const named = [cluster[0]!, cluster.join(',')];
    const kinds = ['sharded', 'classic'].flatMap((REDIS_ADAPTER) => named.map((url) => ({ REDIS_ADAPTER, url })));
    await Promise.all(
      kinds.map(async ({ REDIS_ADAPTER, url }) => {
        await hearEachOther(await twoNodes(url, { REDIS_ADAPTER, MAX_CONNECTIONS_PER_USER: 20 }));
      }),
    );
  });

  it('reconciles at once after the connections to a node of a Redis Cluster break', async () => {
    const [node] = await connectBusNodes(1, cluster[0]!, 'sharded');
    for (const room of upTo(30)) node!.bus.subscribe(room, () => {});
    await waitUntil('all rooms are reported as missed', () => new Set(node!.missed.flat()).size >= 30);
    for (const url of cluster) {
      node!.missed.length = 0;
      const client = createClient({ url });
      await client.connect();
      await client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub']);
      client.destroy();
      await waitUntil('all rooms are named', () => node!.missed.includes('all'));
    }
  });

  itWithBothAdapters('connects the bus to a Redis with a password or an account', async (adapter) => {
    const redis = await startRedis({ requirepass: 'p@ss:word', user: ['nano', 'on', '>s/cret', '~*', '&*', '+@all'] });
    for (const account of [`:${encodeURIComponent('p@ss:word')}`, `nano:${encodeURIComponent('s/cret')}`]) {
      const url = redis.url.replace('//', `//${account}@`);
      await hearEachOther(await twoNodes(url, { REDIS_ADAPTER: adapter }));
    }
  });

  it('uses the classic adapter if the Redis account may not run INFO', async () => {
    const rights = ['+@all', '-info', '-ssubscribe', '-spublish'];
    const redis = await startRedis({ user: ['nano', 'on', '>secret', '~*', '&*', ...rights] });
    await hearEachOther(await twoNodes(redis.url.replace('//', '//nano:secret@'), { REDIS_ADAPTER: 'auto' }));
  });

  itWithBothAdapters('keeps the messages of two services on the same Redis apart', async (adapter) => {
    const url = await sharedRedis();
    const [one, other] = [
      await twoNodes(url, { REDIS_ADAPTER: adapter }),
      await twoNodes(url, { REDIS_ADAPTER: adapter }),
    ];
    // The first room of each service has the same id and the same revs.
    const [talk, stranger] = [await createSharedRoom(one[0]!, one[1]!), await createSharedRoom(other[0]!, other[1]!)];
    expect(talk.room.id).to.equal(stranger.room.id);
    await sendNumbered(talk.near, talk.room, 3);
    expect(await receiveSeqs(talk.far, 3)).to.deep.equal([1, 2, 3]);
    await sendNumbered(stranger.near, stranger.room, 1);
    expect((await stranger.far.next('message:new')).emitter).to.equal(stranger.owner.user);
    expect(stranger.far.unread).to.deep.equal([]);
  });

  it('connects the bus over TLS with a private certificate', async () => {
    const home = mkdtempSync(join(tmpdir(), 'nano-tls-'));
    closeLater(() => rmSync(home, { recursive: true, force: true }));
    const [keyFile, certFile] = [join(home, 'key.pem'), join(home, 'cert.pem')];
    const { key, cert } = selfSigned();
    writeFileSync(keyFile, key);
    writeFileSync(certFile, cert);
    const port = String(await freePort());
    await startRedis({
      ...{ 'tls-port': port, 'tls-cert-file': certFile, 'tls-key-file': keyFile },
      ...{ 'tls-ca-cert-file': certFile, 'tls-auth-clients': 'no' },
    });
    const settings = await serviceSettings(`rediss://localhost:${port}`);
    const env = { ...settings, JWT_SECRET: testSecret, NODE_EXTRA_CA_CERTS: certFile };
    await hearEachOther(await Promise.all([runServer(env), runServer(env)]));
  });
});
