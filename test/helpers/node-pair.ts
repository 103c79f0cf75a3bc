import type { RunningServer } from '../../src/server.ts';
import { embedded, type Settings, startNode } from './node.ts';
import { freshDatabase } from './postgres.ts';
import { type RedisServer, startRedis } from './redis.ts';
import { rest } from './rest-client.ts';
import { createRoom } from './rooms.ts';
import { type SocketClient, socketClient } from './socket-client.ts';
import { createUser, type TestUser } from './users.ts';
import { waitUntil } from './wait-until.ts';

const adapters = ['sharded', 'classic'] as const;

/** Two nodes of one service, and a separate Redis that the test may stop. */
export interface NodePair {
  redis: RedisServer;
  here: RunningServer;
  there: RunningServer;
  settings: Settings;
}

/** Unless the settings demand it, no reconciliation runs during a test, because it could hide a lost signal. */
export async function startNodePair(settings: Settings = {}): Promise<NodePair> {
  const redis = await startRedis();
  const all = { ...(await serviceSettings(redis.url)), ...settings };
  return { redis, here: await startNode(embedded, all), there: await startNode(embedded, all), settings: all };
}

export async function serviceSettings(redisUrl: string): Promise<Settings> {
  return { DATABASE_URL: await freshDatabase(), REDIS_URL: redisUrl, SWEEP_SECONDS: 3_600 };
}

export interface SharedRoom {
  owner: TestUser;
  room: { id: number };
  /** Subscribers of the room on the first and on the second node. */
  near: SocketClient;
  far: SocketClient;
}

/** Creates a room with a member on each of the two nodes. */
export async function createSharedRoom(here: { url: string }, there: { url: string }): Promise<SharedRoom> {
  const owner = createUser({ level: 100 });
  const room = await createRoom(here.url, owner);
  return {
    owner,
    room,
    near: await socketInRoom(here.url, owner, room),
    far: await socketInRoom(there.url, owner, room),
  };
}

export async function socketInRoom(url: string, person: TestUser, room: { id: number }): Promise<SocketClient> {
  const socket = await socketClient(url, person);
  const ack = await socket.request('room:join', { room_id: room.id });
  if (!ack.ok) throw new Error(`The join was refused: ${JSON.stringify(ack)}`);
  return socket;
}

/** Sends numbered messages, each after the acknowledgement of the previous message. */
export async function sendNumbered(socket: SocketClient, room: { id: number }, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const ack = await socket.request('message:send', { room_id: room.id, content: `${n}` });
    if (!ack.ok) throw new Error(`The message was refused: ${JSON.stringify(ack)}`);
  }
}

/** The `seq` of the next received messages. */
export async function receiveSeqs(socket: SocketClient, count: number): Promise<number[]> {
  const seqs: number[] = [];
  for (let n = 0; n < count; n++) seqs.push((await socket.next('message:new')).seq);
  return seqs;
}

export const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, n) => first + n);

/** Reads one metric of the node. */
export async function readMetric(node: { url: string }, name: string): Promise<number> {
  const { body } = await rest(node.url).get('/metrics');
  const value = new RegExp(`^${name} (\\S+)$`, 'm').exec(String(body))?.[1];
  if (value === undefined) throw new Error(`The node has no metric ${name}`);
  return Number(value);
}

/** Waits until the bus connection of each node is up or down. */
export async function waitForBus(state: 'up' | 'down', ...nodes: { url: string }[]): Promise<void> {
  const wanted = state === 'up' ? 1 : 0;
  for (const node of nodes) {
    await waitUntil(`the bus is ${state}`, async () => (await readMetric(node, 'nano_messaging_bus_up')) === wanted);
  }
}

/** Measures the duration in ms. */
export async function measureMs(task: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await task();
  return performance.now() - began;
}

/** Runs the test with both Redis adapters at the same time, because such a test mostly waits. */
export function itWithBothAdapters(title: string, test: (adapter: (typeof adapters)[number]) => Promise<void>): void {
  it(`${title} [${adapters.join(', ')}]`, async () => void (await Promise.all(adapters.map(test))));
}
