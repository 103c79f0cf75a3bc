import { expect } from 'chai';
import { findBalancer, highLimits, startBalancer } from '../helpers/balancer.ts';
import { freePort } from '../helpers/free-port.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { runServer } from '../helpers/process.ts';
import { sharedRedis } from '../helpers/redis.ts';
import { resilientChatClient } from '../helpers/resilient-chat-client.ts';
import { delay, type ResilientClient } from '../helpers/resilient-client.ts';
import { resilientSocketClient } from '../helpers/resilient-socket-client.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom } from '../helpers/rooms.ts';
import { createUser, type TestUser, testSecret } from '../helpers/users.ts';

type Server = Awaited<ReturnType<typeof runServer>>;

/** Processes that keep their names and ports across restarts. */
async function twoNodes() {
  const settings = { DATABASE_URL: await freshDatabase(), REDIS_URL: await sharedRedis(), JWT_SECRET: testSecret };
  const limits = { SEND_RATE: 0, REQUEST_RATE: 0, RULE_RATE: 0, MAX_CONNECTIONS_PER_USER: 0, DRAIN_TIMEOUT_SECONDS: 8 };
  const ports = [await freePort(), await freePort()] as [number, number];
  const start = (n: number) => runServer({ ...settings, ...limits, NODE_NAME: `chat-${n + 1}`, PORT: ports[n] });
  const servers: Server[] = [await start(0), await start(1)];
  return {
    ports,
    async restart(n: number): Promise<void> {
      servers[n]!.kill('SIGTERM');
      const { code, output } = await servers[n]!.exited;
      expect(code, output).to.equal(0);
      servers[n] = await start(n);
    },
  };
}

/**
 * Sends one message after the other until it is stopped; the acknowledged ones, in order. All of them together send at most
 * 45 a second, so that a client that takes 10 s to come back has missed less than the 500 changes of a replay.
 */
function talking(name: string, send: ResilientClient['send'], everyMs = 1_000) {
  const acknowledged: string[] = [];
  let isOver = false;
  async function talk(): Promise<void> {
    for (let n = 0; !isOver; n++) {
      await send(`${name} ${n}`, `${name}-${n}`);
      acknowledged.push(`${name} ${n}`);
      await delay(everyMs * (0.5 + Math.random()));
    }
  }
  const done = talk();
  return {
    acknowledged,
    stop(): Promise<void> {
      isOver = true;
      return done;
    },
  };
}

/** A backend without retries: it counts the failures that the balancer does not hide. */
function backend(url: string, { token }: TestUser, room: { id: number }) {
  const refused: unknown[] = [];
  let n = 0;
  const client = rest(url, token);
  return {
    refused,
    ...talking(
      'backend',
      async (content, key) => {
        const read = await client.get(`/rooms/${room.id}/messages?limit=1`);
        const sent = await client.post(`/rooms/${room.id}/messages`, { content }, { 'Idempotency-Key': key });
        for (const { status, body } of [read, sent]) if (status >= 300) refused.push({ n, status, body });
        n += 1;
      },
      50,
    ),
  };
}

async function wholeHistory(
  url: string,
  { token }: TestUser,
  room: { id: number },
): Promise<{ seq: number; content: string }[]> {
  const all: { seq: number; content: string }[] = [];
  for (;;) {
    const after = all.at(-1)?.seq ?? 0;
    const { body } = await rest(url, token).get(`/rooms/${room.id}/messages?limit=500&after=${after}`);
    all.push(...body.content.map(({ seq, content }: { seq: number; content: string }) => ({ seq, content })));
    if (!body.meta.has_more) return all;
  }
}

describe('a rolling restart of two nodes behind nginx, under load', function () {
  this.timeout(120_000);

  before(function () {
    this.timeout(300_000);
    findBalancer('nginx');
  });

  it('loses, duplicates and reorders nothing for any client, and stores acknowledged messages once', async () => {
    const nodes = await twoNodes();
    const { url } = await startBalancer('nginx', nodes.ports, highLimits.nginx);
    const owner = createUser({ level: 100 });
    const room = await createRoom(url, owner);
    const colleague = () => createUser({ entity: owner.entity, level: 100 });
    const kinds: Record<string, (person: TestUser) => Promise<ResilientClient>> = {
      websocket: (person) => resilientSocketClient(url, person, room.id, ['websocket']),
      'polling first': (person) => resilientSocketClient(url, person, room.id),
      polling: (person) => resilientSocketClient(url, person, room.id, ['polling']),
      '/chat': (person) => resilientChatClient(url, person, room.id),
    };
    const plan = { websocket: 8, 'polling first': 8, polling: 4, '/chat': 4 };
    const followers = await Promise.all(
      Object.entries(plan).flatMap(([kind, count]) =>
        Array.from({ length: count }, async (_, n) => ({
          name: `${kind[0]}${kind.length}-${n}`.replace('/', 'c'),
          kind,
          ...(await kinds[kind]!(colleague())),
        })),
      ),
    );
    const watcher = await kinds.websocket!(colleague());
    const talkers = followers.map(({ name, send }) => talking(name, send));
    const asking = backend(url, colleague(), room);

    for (const n of [0, 1]) {
      await delay(1_000);
      await nodes.restart(n);
      // Longer than the balancer excludes a failed node.
      await delay(2_500);
    }
    await Promise.all([...talkers, asking].map((talker) => talker.stop()));
    await watcher.send('the end', 'the-end');

    const stored = await wholeHistory(url, owner, room);
    expect(stored.map(({ seq }) => seq)).to.deep.equal(stored.map((_, n) => n + 1));
    const said = [...talkers, asking].flatMap(({ acknowledged }) => acknowledged);
    expect(stored.map(({ content }) => content)).to.have.members([...said, 'the end']);
    for (const { acknowledged } of [...talkers, asking]) {
      const mine = new Set(acknowledged);
      expect(stored.map(({ content }) => content).filter((content) => mine.has(content))).to.deep.equal(acknowledged);
    }
    for (const { name, copy } of followers) {
      while (copy.messages.at(-1)?.content !== 'the end') await delay(20);
      const first = copy.messages[0]!.seq;
      expect(copy.messages, name).to.deep.equal(stored.slice(first - 1));
      expect(copy.unrecovered, name).to.equal(0);
    }
    expect(asking.refused).to.deep.equal([]);
    report(stored.length, followers);
  });
});

function report(count: number, followers: { kind: string; copy: ResilientClient['copy'] }[]): void {
  const seconds = (ms: number) => (ms / 1_000).toFixed(1);
  const byKind = Map.groupBy(followers, ({ kind }) => kind);
  const lines = [...byKind].map(
    ([kind, some]) => `${kind} ${some.map(({ copy }) => seconds(copy.maxSilenceMs)).join(' ')}`,
  );
  console.log(`      ${count} messages; longest silence of each client in seconds: ${lines.join('; ')}`);
}
