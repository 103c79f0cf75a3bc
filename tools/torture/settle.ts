import { setTimeout as delay } from 'node:timers/promises';
import type { World } from './faults.ts';
import { findDeletionProblems } from './oracle-deletions.ts';
import { findPresenceProblems, promisedMs as presenceMs } from './oracle-presence.ts';
import type { Rule } from './record.ts';
import { headsNow } from './recovery.ts';
import { findRowsOf } from './room-deletion.ts';
import type { Incident } from './run-faults.ts';

const convergeMs = 30_000;
/** Longer than the interval at which an excluded client asks again. */
const askingMs = 2_500;
const talkMs = 1_500;
/** Longer than the interval between two items of a room. */
const itemMs = 2_500;

/** If the node that removes the rows of a deleted room dies, another node looks for them within 40 s. */
const removalMs = 60_000;

export interface Missing {
  what: string;
  rule: Rule;
}

interface Settled {
  /** The clients that had not received everything at the deadline. */
  missing: Missing[];
  incidents: Incident[];
}

interface Options {
  stopsRedis: boolean;
  waitsForPresence: boolean;
}

/**
 * The end of the run, without further faults. All clients that may do so join their rooms and receive everything. With
 * `redisIsHurt`, Redis is stopped for the last messages and remains down until all clients have received them, so that
 * no later message can trigger their delivery.
 */
export async function settle(world: World, { stopsRedis, waitsForPresence }: Options): Promise<Settled> {
  const { participants, cluster } = world;
  const redis = stopsRedis ? cluster.redis : undefined;
  const incidents: Incident[] = [];
  const startedAt = performance.now();
  if (redis) {
    await redis.kill();
    await delay(talkMs);
  }
  for (const one of participants) one.settle();
  const settledAt = performance.now();
  const missing = await converge(world);
  if (redis) {
    const endedAt = performance.now();
    const took = endedAt - settledAt;
    const recovery = { subscribersMs: took, allClientsMs: took, last: '' };
    incidents.push({ fault: 'end without redis', startedAt, endedAt, recovery, isMixed: false });
    await redis.start();
  }
  await delay(askingMs);
  for (const one of participants) one.sendLast();
  missing.push(...(await converge(world, true)));
  // An item that was read just before may be followed by another a second later.
  await delay(itemMs);
  const { evidence } = world;
  const findPresence = () => findPresenceProblems(evidence, performance.now());
  const late = waitsForPresence ? await waitUntilNone(findPresence, presenceMs) : [];
  const findUndelivered = async () => cluster.receiver.missing(await headsNow(cluster.postgres.url));
  const undelivered = await waitUntilNone(findUndelivered, convergeMs);
  const deletedRooms = evidence.deletedRooms.map(({ room }) => room);
  const findDeletions = async () => [
    ...findDeletionProblems(evidence),
    ...(await findRowsOf(cluster.postgres.url, deletedRooms)),
  ];
  const undeleted = await waitUntilNone(findDeletions, removalMs);
  const all: Missing[] = [
    ...[...new Set(missing)].map((what): Missing => ({ what, rule: 'delivery' })),
    ...late.map((what): Missing => ({ what, rule: 'presence' })),
    ...undelivered.map((what): Missing => ({ what, rule: 'webhooks' })),
    ...undeleted.map((what): Missing => ({ what, rule: 'deletion' })),
  ];
  return { missing: all, incidents };
}

/** Waits until there are no problems. Returns those that are left at the deadline. */
async function waitUntilNone(find: () => string[] | Promise<string[]>, maxMs: number): Promise<string[]> {
  const deadline = performance.now() + maxMs;
  for (;;) {
    const problems = await find();
    if (problems.length === 0 || performance.now() > deadline) return problems;
    await delay(200);
  }
}

/**
 * Waits until every client has received everything and every message is answered. Returns what is missing at the
 * deadline.
 */
export async function converge({ cluster, participants }: World, withInboxes = false): Promise<string[]> {
  return waitUntilNone(async () => {
    const heads = await headsNow(cluster.postgres.url);
    return participants.flatMap((one) => [
      ...one.missing(heads),
      ...(withInboxes ? one.missingInInbox(heads) : []),
      ...(one.pending > 0 ? [`${one.name} waits for answers to ${one.pending} messages`] : []),
    ]);
  }, convergeMs);
}
