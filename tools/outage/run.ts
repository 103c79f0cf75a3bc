import { io, type Socket } from 'socket.io-client';
import { onRunEnd } from '../../test/helpers/cleanup.ts';
import { freshDatabase } from '../../test/helpers/postgres.ts';
import { runServer } from '../../test/helpers/process.ts';
import { startRedis } from '../../test/helpers/redis.ts';
import { createRoom } from '../../test/helpers/rooms.ts';
import { createUser, type TestUser, testSecret } from '../../test/helpers/users.ts';
import { parseName, parseWholeNumber, readCommandLine } from '../command-line.ts';
import { Latencies } from './percentiles.ts';

const usage = `npm run outage -- [options]: stops Redis while one of two nodes receives messages at a steady rate. Reports the latencies
of the sender and of the clients on both nodes, and when the other node has caught up.

  --seconds N         duration of the outage (10)
  --rate N            messages per second (200)
  --how kill|freeze   kills or freezes Redis (kill)
  --redis-adapter A   auto, sharded or classic (auto)
  --help

Exit codes: 0 both nodes delivered every message in the same order; 1 they did not; 2 invalid arguments`;

const options = {
  seconds: { type: 'string', default: '10' },
  rate: { type: 'string', default: '200' },
  how: { type: 'string', default: 'kill' },
  'redis-adapter': { type: 'string', default: 'auto' },
} as const;
const { seconds, rate, how, adapter } = readCommandLine(usage, options, (values) => ({
  seconds: parseWholeNumber('seconds', values.seconds, 1),
  rate: parseWholeNumber('rate', values.rate, 1),
  how: parseName('how', values.how, ['kill', 'freeze']),
  adapter: parseName('redis-adapter', values['redis-adapter'], ['auto', 'sharded', 'classic']),
}));

const roomCount = 20;
/** Time before and after the outage. */
const steadyMs = 5_000;
const timeoutMs = 10_000;

type Phase = 'before' | 'outage' | 'after';
const acknowledged = new Latencies();
const remoteLatencies = new Latencies();
const localLatencies = new Latencies();
const sentAt = new Map<string, { at: number; phase: Phase }>();

class Listener {
  readonly byRoom = new Map<number, string[]>();
  count = 0;
  readonly socket: Socket;
  #reached = () => {};
  #expected = Number.POSITIVE_INFINITY;

  constructor(url: string, { token }: TestUser, latencies: Latencies) {
    this.socket = io(`${url}/rooms`, { auth: { token }, forceNew: true, transports: ['websocket'] });
    this.socket.on('message:new', ({ room_id, content }: { room_id: number; content: string }) => {
      this.byRoom.set(room_id, [...(this.byRoom.get(room_id) ?? []), content]);
      const sent = sentAt.get(content);
      if (sent) latencies.add(sent.phase, performance.now() - sent.at);
      this.count += 1;
      if (this.count >= this.#expected) this.#reached();
    });
  }

  async join(rooms: { id: number }[]): Promise<void> {
    for (const { id } of rooms) {
      const response = await this.socket.emitWithAck('room:join', { room_id: id });
      if (!response.ok) throw new Error(JSON.stringify(response));
    }
  }

  /** Resolves when `count` messages have arrived; rejects after a timeout. */
  reach(count: number): Promise<void> {
    this.#expected = count;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`received ${this.count} of ${count} messages in ${timeoutMs / 1_000} s`)),
        timeoutMs,
      );
      this.#reached = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.count >= count) this.#reached();
    });
  }
}

const delay = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function main(): Promise<boolean> {
  const redis = await startRedis();
  const env = {
    ...{ DATABASE_URL: await freshDatabase(), REDIS_URL: redis.url, REDIS_ADAPTER: adapter },
    ...{ JWT_SECRET: testSecret, SEND_RATE: 0, REQUEST_RATE: 0, RULE_RATE: 0, MAX_CONNECTIONS_PER_USER: 0 },
  };
  const nodes = [await runServer(env), await runServer(env)];
  const owner = createUser({ level: 100 });
  const rooms: { id: number }[] = [];
  for (let n = 0; n < roomCount; n++) rooms.push(await createRoom(nodes[0]!.url, owner));
  const local = new Listener(nodes[0]!.url, owner, localLatencies);
  const remote = new Listener(nodes[1]!.url, owner, remoteLatencies);
  await Promise.all([local.join(rooms), remote.join(rooms)]);

  let phase: Phase = 'before';
  let sent = 0;
  let stored = 0;
  const sending = setInterval(() => {
    const content = `message ${sent}`;
    const { id } = rooms[sent++ % roomCount]!;
    const mark = { at: performance.now(), phase };
    sentAt.set(content, mark);
    local.socket.emitWithAck('message:send', { room_id: id, content }).then((response) => {
      if (response.ok) stored += 1;
      acknowledged.add(mark.phase, performance.now() - mark.at);
    });
  }, 1_000 / rate);

  await delay(steadyMs);
  phase = 'outage';
  await (how === 'freeze' ? redis.freeze() : redis.kill());
  await delay(seconds * 1_000);
  await (how === 'freeze' ? redis.thaw() : redis.start());
  phase = 'after';
  const availableAt = performance.now();
  await remote.reach(sent);
  const caughtUpMs = performance.now() - availableAt;
  await delay(steadyMs);
  clearInterval(sending);
  await Promise.all([local.reach(sent), remote.reach(sent)]);

  const phases: Phase[] = ['before', 'outage', 'after'];
  const results = {
    'acknowledged to the sender': acknowledged,
    'received on the same node': localLatencies,
    'received on the other node': remoteLatencies,
  };
  for (const [name, latencies] of Object.entries(results)) {
    console.log(`\n${name}: latency in ms, by the phase in which the message was sent`);
    console.table(Object.fromEntries(phases.map((phase) => [phase, latencies.row(phase)])));
  }
  const isSame = rooms.every(
    ({ id }) => JSON.stringify(local.byRoom.get(id)) === JSON.stringify(remote.byRoom.get(id)),
  );
  const areAlive = nodes.every(({ child }) => child.exitCode === null && child.signalCode === null);
  const verb = how === 'freeze' ? 'frozen' : 'stopped';
  console.log(`Redis was ${verb} for ${seconds} s at ${rate} messages/s`);
  console.log(
    `${sent} sent, ${stored} acknowledged, ${local.count} received on the same node, ${remote.count} on the other node`,
  );
  console.log(`same messages in the same order on both nodes: ${isSame}; both nodes alive: ${areAlive}`);
  console.log(`the other node caught up ${caughtUpMs.toFixed(0)} ms after Redis was available again`);
  local.socket.close();
  remote.socket.close();
  return isSame && areAlive && [stored, local.count, remote.count].every((count) => count === sent);
}

const isPassed = await main().finally(onRunEnd);
process.exit(isPassed ? 0 : 1);
