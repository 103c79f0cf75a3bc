import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../fuzz/random.ts';
import { type FaultName, faultKinds, type World } from './faults.ts';
import { measureRecovery, type Recovery } from './recovery.ts';

/** A fault, and how long the recovery from it took. */
export interface Incident {
  fault: FaultName | 'end without redis';
  startedAt: number;
  endedAt: number;
  recovery: Recovery;
  /** Another fault happened before the recovery was complete. */
  isMixed: boolean;
}

interface FaultPlan {
  world: World;
  random: Random;
  faults: FaultName[];
  isOver: () => boolean;
}

/**
 * Runs faults one after the other, each until recovery. A second sequence of faults sometimes overlaps with the first.
 */
export async function runFaults({ world, random, faults, isOver }: FaultPlan): Promise<Incident[]> {
  const incidents: Incident[] = [];
  const active = new Set<{ fault: FaultName; isMixed: boolean }>();

  async function inject(fault: FaultName): Promise<void> {
    const incident = { fault, isMixed: active.size > 0 };
    for (const other of active) other.isMixed = true;
    active.add(incident);
    const startedAt = performance.now();
    let recovering: Promise<Recovery> | undefined;
    await faultKinds[fault].run(world, random, () => {
      recovering = measureRecovery(world);
    });
    const endedAt = performance.now();
    const recovery = await recovering!;
    active.delete(incident);
    incidents.push({ ...incident, startedAt, endedAt, recovery });
  }

  async function row(minMs: number, maxMs: number): Promise<void> {
    // Each kind of fault runs before any kind runs again.
    let left: FaultName[] = [];
    const repeated = faults.filter((fault) => fault !== 'import');
    while (!isOver()) {
      await delay(minMs + random.int(maxMs - minMs));
      if (left.length === 0) left = [...repeated];
      const targets = new Set([...active].map(({ fault }) => faultKinds[fault].target));
      const possible = left.filter((fault) => !targets.has(faultKinds[fault].target));
      if (possible.length === 0 || isOver()) continue;
      const fault = random.pick(possible);
      left.splice(left.indexOf(fault), 1);
      await inject(fault);
    }
  }

  /** A long transaction runs once, beside the other faults. */
  async function importOnce(): Promise<void> {
    await delay(world.importSeconds * 1_000);
    const isFree = () => [...active].every(({ fault }) => faultKinds[fault].target !== 'postgres');
    while (!isFree() && !isOver()) await delay(20);
    if (!isOver()) await inject('import');
  }

  const imports = faults.includes('import') ? [importOnce()] : [];
  await Promise.all([row(200, 1_000), row(4_000, 12_000), ...imports]);
  return incidents;
}
