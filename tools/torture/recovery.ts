import { setTimeout as pause } from 'node:timers/promises';
import type { World } from './faults.ts';
import { positionOf, type Stay } from './record.ts';
import { type Head, readHeads } from './room-history.ts';

const longestMs = 30_000;

/** In ms; longer than `longestMs` is said as that. */
export interface Recovery {
  /** Until who was in and stayed in has heard everything that was committed by then. */
  stayedMs: number;
  /** Until everybody who wants to be in a room is in it, and has heard as much. */
  everybodyMs: number;
  /** Who was the last of them. */
  last: string;
}

/** Measures from now on. */
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

/** The database may be away itself. */
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
