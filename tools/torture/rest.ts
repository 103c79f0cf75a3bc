import { setTimeout as pause } from 'node:timers/promises';
import type { World } from './faults.ts';
import { headsNow } from './recovery.ts';
import type { Blow } from './storm.ts';

const convergeMs = 30_000;
/** Longer than the interval at which an excluded client asks again. */
const askingMs = 2_500;
const talkMs = 1_500;

interface Rest {
  /** The clients that had not received everything at the deadline. */
  missing: string[];
  blows: Blow[];
}

/**
 * The end of the run, without further faults. All clients that may do so join their rooms and receive everything. With
 * `redisIsHurt`, Redis is stopped for the last messages and remains down until all clients have received them, so that
 * no later message can trigger their delivery.
 */
export async function comeToRest(world: World, redisIsHurt: boolean): Promise<Rest> {
  const { participants, cluster } = world;
  const redis = redisIsHurt ? cluster.redis : undefined;
  const blows: Blow[] = [];
  const startedAt = performance.now();
  if (redis) {
    await redis.kill();
    await pause(talkMs);
  }
  for (const one of participants) one.settle();
  const settledAt = performance.now();
  const missing = await converge(world);
  if (redis) {
    const endedAt = performance.now();
    const took = endedAt - settledAt;
    const recovery = { stayedMs: took, everybodyMs: took, last: '' };
    blows.push({ fault: 'end without redis', startedAt, endedAt, recovery, isMixed: false });
    await redis.start();
  }
  await pause(askingMs);
  for (const one of participants) one.sayGoodbye();
  missing.push(...(await converge(world)));
  return { missing: [...new Set(missing)], blows };
}

/**
 * Waits until every client has received everything and every message is answered. Returns what is missing at the
 * deadline.
 */
export async function converge({ cluster, participants }: World): Promise<string[]> {
  const deadline = performance.now() + convergeMs;
  for (;;) {
    const heads = await headsNow(cluster.postgres.url);
    const missing = participants.flatMap((one) => [
      ...one.missing(heads),
      ...(one.pending > 0 ? [`${one.name} waits for the answer to ${one.pending} messages`] : []),
    ]);
    if (missing.length === 0 || performance.now() > deadline) return missing;
    await pause(100);
  }
}
