import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../fuzz/random.ts';
import { type FaultName, faultKinds, type World } from './faults.ts';
import { measureRecovery, type Recovery } from './recovery.ts';

/** A fault, and how long the recovery from it took. */
export interface Blow {
  fault: FaultName | 'end without redis';
  startedAt: number;
  endedAt: number;
  recovery: Recovery;
  /** Another fault happened before the recovery was complete. */
  isMixed: boolean;
}

interface Storm {
  world: World;
  random: Random;
  faults: FaultName[];
  isOver: () => boolean;
}

/**
 * Runs faults one after the other, each until recovery. A second sequence of faults sometimes overlaps with the first.
 */
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
    // Each kind of fault runs before any kind runs again.
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
