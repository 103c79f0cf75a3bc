import { setTimeout as pause } from 'node:timers/promises';
import type { World } from './faults.ts';
import { positionOf, type Stay } from './record.ts';
import { type Head, readHeads } from './room-history.ts';

const longestMs = 30_000;

/** Times in ms. A recovery that takes longer than `longestMs` is recorded as `longestMs`. */
export interface Recovery {
  /** Until all subscriptions that survived the fault have received everything committed by then. */
  stayedMs: number;
  /** Until all clients have joined the rooms that they want, and have received as much. */
  everybodyMs: number;
  /** The client that was the last to recover. */
  last: string;
}

/** Measures recovery from now on. */
export async function measureRecovery({ cluster, participants }: World): Promise<Recovery> {
  const since = performance.now();
  const stayed = participants.flatMap(({ stays }) => stays);
  const heads = await headsNow(cluster.postgres.url);
  const measured: { stayedMs?: number; everybodyMs?: number } = {};
  let elapsed = 0;
  let last = '';
  while (elapsed < longestMs && (measured.stayedMs === undefined || measured.everybodyMs === undefined)) {
    elapsed = Math.round(performance.now() - since);
    if (stayed.every((stay) => hasHeard(stay, heads))) measured.stayedMs ??= elapsed;
    const [missing] = participants.flatMap((one) => one.missing(heads));
    if (missing === undefined) measured.everybodyMs ??= elapsed;
    else if (measured.everybodyMs === undefined) last = missing;
    await pause(15);
  }
  return { stayedMs: longestMs, everybodyMs: longestMs, last, ...measured };
}

function hasHeard(stay: Stay, heads: Map<number, Head>): boolean {
  const head = heads.get(stay.room)!;
  return stay.end !== undefined || positionOf(stay) >= (stay.transport === 'chat' ? head.message : head.rev);
}

/** Reads the heads of all rooms. Retries, because the database may be down. */
export async function headsNow(url: string): Promise<Map<number, Head>> {
  const deadline = performance.now() + longestMs;
  for (;;) {
    try {
      return await readHeads(url);
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await pause(50);
    }
  }
}
