import { parseArgs } from 'node:util';
import { io, type Socket } from 'socket.io-client';
import { onRunEnd } from '../../test/helpers/cleanup.ts';
import { freshDatabase } from '../../test/helpers/postgres.ts';
import { runServer } from '../../test/helpers/process.ts';
import { startRedis } from '../../test/helpers/redis.ts';
import { createRoom } from '../../test/helpers/rooms.ts';
import { createUser, type TestUser, testSecret } from '../../test/helpers/users.ts';
import { Latencies } from './percentiles.ts';

/**
 * Two nodes, a client on each in the same 20 rooms; one of them sends at a steady rate while Redis is away. Shows what
 * it costs the sender's own node, and when the other one has everything.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    rate: { type: 'string', default: '200' },
    how: { type: 'string', default: 'kill' },
    'redis-adapter': { type: 'string', default: 'auto' },
  },
});
const awayMs = Number(values.seconds) * 1_000;
const rate = Number(values.rate);
const roomCount = 20;
const aroundMs = 5_000;
const patienceMs = 10_000;

type Phase = 'before' | 'away' | 'after';
const acknowledged = new Latencies();
const heardThere = new Latencies();
const heardHere = new Latencies();
const sentAt = new Map<string, { at: number; phase: Phase }>();

class Listener {
  readonly byRoom = new Map<number, string[]>();
  count = 0;
  readonly socket: Socket;
  #reached = () => {};
  #wanted = Number.POSITIVE_INFINITY;

  constructor(url: string, { token }: TestUser, latencies: Latencies) {
    this.socket = io(`${url}/rooms`, { auth: { token }, forceNew: true, transports: ['websocket'] });
    this.socket.on('message:new', ({ room_id, content }: { room_id: number; content: string }) => {
      this.byRoom.set(room_id, [...(this.byRoom.get(room_id) ?? []), content]);
      const sent = sentAt.get(content);
      if (sent) latencies.add(sent.phase, performance.now() - sent.at);
      this.count += 1;
      if (this.count >= this.#wanted) this.#reached();
    });
  }

  async join(rooms: { id: number }[]): Promise<void> {
    for (const { id } of rooms) {
      const answer = await this.socket.emitWithAck('room:join', { room_id: id });
      if (!answer.ok) throw new Error(JSON.stringify(answer));
    }
  }

  /** Resolves when it has heard so many; rejects when it takes too long. */
  reach(count: number): Promise<void> {
    this.#wanted = count;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`heard ${this.count} of ${count}`)), patienceMs);
      this.#reached = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.count >= count) this.#reached();
    });
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function main(): Promise<boolean> {
  const redis = await startRedis();
  const env = {
    ...{ DATABASE_URL: await freshDatabase(), REDIS_URL: redis.url, REDIS_ADAPTER: values['redis-adapter'] },
    ...{ JWT_SECRET: testSecret, SEND_RATE: 0, REQUEST_RATE: 0, RULE_RATE: 0, MAX_CONNECTIONS_PER_USER: 0 },
  };
  const nodes = [await runServer(env), await runServer(env)];
  const owner = createUser({ level: 100 });
  const rooms: { id: number }[] = [];
  for (let n = 0; n < roomCount; n++) rooms.push(await createRoom(nodes[0]!.url, owner));
  const here = new Listener(nodes[0]!.url, owner, heardHere);
  const there = new Listener(nodes[1]!.url, owner, heardThere);
  await Promise.all([here.join(rooms), there.join(rooms)]);

  let phase: Phase = 'before';
  let sent = 0;
  let stored = 0;
  const sending = setInterval(() => {
    const content = `message ${sent}`;
    const { id } = rooms[sent++ % roomCount]!;
    const given = { at: performance.now(), phase };
    sentAt.set(content, given);
    here.socket.emitWithAck('message:send', { room_id: id, content }).then((answer) => {
      if (answer.ok) stored += 1;
      acknowledged.add(given.phase, performance.now() - given.at);
    });
  }, 1_000 / rate);

  await pause(aroundMs);
  phase = 'away';
  await (values.how === 'freeze' ? redis.freeze() : redis.kill());
  await pause(awayMs);
  await (values.how === 'freeze' ? redis.thaw() : redis.start());
  phase = 'after';
  const returned = performance.now();
  await there.reach(sent);
  const caughtUpMs = performance.now() - returned;
  await pause(aroundMs);
  clearInterval(sending);
  await Promise.all([here.reach(sent), there.reach(sent)]);

  const phases: Phase[] = ['before', 'away', 'after'];
  for (const [name, latencies] of Object.entries({ acknowledged, heardHere, heardThere })) {
    console.log(`\n${name}, ms, by when it was sent`);
    console.table(Object.fromEntries(phases.map((one) => [one, latencies.row(one)])));
  }
  const same = rooms.every(({ id }) => JSON.stringify(here.byRoom.get(id)) === JSON.stringify(there.byRoom.get(id)));
  const alive = nodes.every(({ child }) => child.exitCode === null && child.signalCode === null);
  console.log(`Redis away (${values.how}) for ${values.seconds} s at ${rate} messages/s`);
  console.log(`sent ${sent}, acknowledged ${stored}, heard here ${here.count}, heard on the other node ${there.count}`);
  console.log(`the same on both, in the same order: ${same}; both nodes alive: ${alive}`);
  console.log(`the other node had all that was sent until Redis returned ${caughtUpMs.toFixed(0)} ms after that`);
  here.socket.close();
  there.socket.close();
  return same && alive && [stored, here.count, there.count].every((count) => count === sent);
}

const isGood = await main().finally(onRunEnd);
process.exit(isGood ? 0 : 1);
