import type { RunningServer } from '../../src/server.ts';
import { embedded, type Settings, startNode } from './node.ts';
import { type Person, somebody } from './people.ts';
import { freshDatabase } from './postgres.ts';
import { type RedisServer, startRedis } from './redis.ts';
import { rest } from './rest-client.ts';
import { newRoom } from './rooms.ts';
import { type SocketClient, socketClient } from './socket-client.ts';
import { until } from './until.ts';

const adapters = ['sharded', 'classic'] as const;

/** Two nodes of one service, and a Redis of their own that the test may do anything to. */
export interface Pair {
  redis: RedisServer;
  here: RunningServer;
  there: RunningServer;
  settings: Settings;
}

/** Its sweep does not come while a test runs, so that it hides nothing, unless the settings say so. */
export async function redisPair(settings: Settings = {}): Promise<Pair> {
  const redis = await startRedis();
  const all = { ...(await serviceSettings(redis.url)), ...settings };
  return { redis, here: await startNode(embedded, all), there: await startNode(embedded, all), settings: all };
}

export async function serviceSettings(redisUrl: string): Promise<Settings> {
  return { DATABASE_URL: await freshDatabase(), REDIS_URL: redisUrl, SWEEP_SECONDS: 3_600 };
}

export interface Talk {
  owner: Person;
  room: { id: number };
  /** In the room, on the one node and on the other. */
  near: SocketClient;
  far: SocketClient;
}

/** A room with a member on each of the two. */
export async function talkOver(here: { url: string }, there: { url: string }): Promise<Talk> {
  const owner = somebody({ level: 100 });
  const room = await newRoom(here.url, owner);
  return { owner, room, near: await socketIn(here.url, owner, room), far: await socketIn(there.url, owner, room) };
}

export async function socketIn(url: string, person: Person, room: { id: number }): Promise<SocketClient> {
  const socket = await socketClient(url, person);
  const ack = await socket.request('room:join', { room_id: room.id });
  if (!ack.ok) throw new Error(`The join was refused: ${JSON.stringify(ack)}`);
  return socket;
}

/** Says so many messages, each once the one before is acknowledged. */
export async function sayOn(socket: SocketClient, room: { id: number }, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const ack = await socket.request('message:send', { room_id: room.id, content: `${n}` });
    if (!ack.ok) throw new Error(`The message was refused: ${JSON.stringify(ack)}`);
  }
}

/** The `seq` of the next messages that are heard. */
export async function heardBy(socket: SocketClient, count: number): Promise<number[]> {
  const heard: number[] = [];
  for (let n = 0; n < count; n++) heard.push((await socket.next('message:new')).seq);
  return heard;
}

export const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, n) => first + n);

/** One of the node's own figures. */
export async function figure(node: { url: string }, name: string): Promise<number> {
  const { body } = await rest(node.url).get('/metrics');
  const value = new RegExp(`^${name} (\\S+)$`, 'm').exec(String(body))?.[1];
  if (value === undefined) throw new Error(`There is no figure ${name}`);
  return Number(value);
}

/** The line of each node works, or does not. */
export async function lines(state: 'up' | 'down', ...nodes: { url: string }[]): Promise<void> {
  const wanted = state === 'up' ? 1 : 0;
  for (const node of nodes) {
    await until(`the bus is ${state}`, async () => (await figure(node, 'nano_messaging_bus_up')) === wanted, 10_000);
  }
}

/** How long it takes, in milliseconds. */
export async function timeOf(task: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await task();
  return performance.now() - began;
}

/** Over either of the two adapters, both at once: what takes the time is waiting. */
export function itWithBoth(title: string, test: (adapter: (typeof adapters)[number]) => Promise<void>): void {
  it(`${title} [${adapters.join(', ')}]`, async () => void (await Promise.all(adapters.map(test))));
}
