import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../fuzz/random.ts';
import { type FaultName, faultKinds, type World } from './faults.ts';
import { measureRecovery, type Recovery } from './recovery.ts';

/** One fault that happened, and how long it took to be forgotten. */
export interface Blow {
  fault: FaultName | 'end without redis';
  startedAt: number;
  endedAt: number;
  recovery: Recovery;
  /** Something else was hurt before it was forgotten. */
  isMixed: boolean;
}

interface Storm {
  world: World;
  random: Random;
  faults: FaultName[];
  isOver: () => boolean;
}

/** Faults one after the other, each until it is forgotten; a second row of them, now and then, comes on top. */
export async function rage({ world, random, faults, isOver }: Storm): Promise<Blow[]> {
  const blows: Blow[] = [];
  const active = new Set<{ fault: FaultName; isMixed: boolean }>();

  async function strike(fault: FaultName): Promise<void> {
    const blow = { fault, isMixed: active.size > 0 };
    for (const other of active) other.isMixed = true;
    active.add(blow);
    const startedAt = performance.now();
    let recovering: Promise<Recovery> | undefined;
    await faultKinds[fault].run(world, random, () => {
      recovering = measureRecovery(world);
    });
    const endedAt = performance.now();
    const recovery = await recovering!;
    active.delete(blow);
    blows.push({ ...blow, startedAt, endedAt, recovery });
  }

  async function row(leastMs: number, mostMs: number): Promise<void> {
    // Each kind comes before any comes again.
    let left: FaultName[] = [];
    while (!isOver()) {
      await pause(leastMs + random.int(mostMs - leastMs));
      if (left.length === 0) left = [...faults];
      const targets = new Set([...active].map(({ fault }) => faultKinds[fault].target));
      const possible = left.filter((fault) => !targets.has(faultKinds[fault].target));
      if (possible.length === 0 || isOver()) continue;
      const fault = random.pick(possible);
      left.splice(left.indexOf(fault), 1);
      await strike(fault);
    }
  }

  await Promise.all([row(200, 1_000), row(4_000, 12_000)]);
  return blows;
}
