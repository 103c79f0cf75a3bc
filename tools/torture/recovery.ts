import { setTimeout as delay } from 'node:timers/promises';
import type { World } from './faults.ts';
import { getPosition, type Subscription } from './record.ts';
import { type Head, readHeads } from './room-history.ts';

const maxRecoveryMs = 30_000;

/** Times in ms. A recovery that takes longer than `longestMs` is recorded as `longestMs`. */
export interface Recovery {
  /** Until all subscriptions that survived the fault have received everything committed by then. */
  subscribersMs: number;
  /** Until each client has once been in the rooms that it wants, and received as much. */
  allClientsMs: number;
  /** The client that was the last to recover. */
  last: string;
}

/** Measures recovery from now on. */
export async function measureRecovery({ cluster, participants }: World): Promise<Recovery> {
  const since = performance.now();
  const survivors = participants.flatMap(({ subscriptions }) => subscriptions);
  const heads = await headsNow(cluster.postgres.url);
  // Clients leave and join all the time, so they are rarely all complete at the same time.
  const waiting = new Set(participants);
  const measured: { subscribersMs?: number; allClientsMs?: number } = {};
  let elapsed = 0;
  let last = '';
  while (elapsed < maxRecoveryMs && (measured.subscribersMs === undefined || measured.allClientsMs === undefined)) {
    elapsed = Math.round(performance.now() - since);
    if (survivors.every((subscription) => hasReceived(subscription, heads))) measured.subscribersMs ??= elapsed;
    for (const one of waiting) {
      const [missing] = one.missing(heads);
      if (missing === undefined) waiting.delete(one);
      else last = missing;
    }
    if (waiting.size === 0) measured.allClientsMs ??= elapsed;
    await delay(15);
  }
  return { subscribersMs: maxRecoveryMs, allClientsMs: maxRecoveryMs, last, ...measured };
}

function hasReceived(subscription: Subscription, heads: Map<number, Head>): boolean {
  const head = heads.get(subscription.room)!;
  return (
    subscription.end !== undefined ||
    getPosition(subscription) >= (subscription.transport === 'chat' ? head.message : head.rev)
  );
}

/** Reads the heads of all rooms. Retries, because the database may be down. */
export async function headsNow(url: string): Promise<Map<number, Head>> {
  const deadline = performance.now() + maxRecoveryMs;
  for (;;) {
    try {
      return await readHeads(url);
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(50);
    }
  }
}
