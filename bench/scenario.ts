import type { Contender } from './contenders.ts';
import type { Databases } from './databases.ts';
import type { Count } from './load/crowd.ts';
import { type Load, startLoad } from './load/load.ts';
import { cpuMsOf } from './machine/cpu.ts';
import { type Sample, type Spread, spreadsOf } from './statistics.ts';

export interface Row {
  name: string;
  figures: Record<string, Spread>;
}

/** A target of a scenario and the measured value. */
export interface Reach {
  what: string;
  /** Such as `≥ 0.7`. */
  wanted: string;
  value: number;
  met: boolean;
}

export interface Result {
  scenario: string;
  title: string;
  rows: Row[];
  reaches: Reach[];
  /**
   * Messages that were lost, duplicated or delivered in the wrong order, and rows that do not match the confirmations.
   */
  faults: string[];
}

export interface Options {
  rounds: number;
  /** The duration of one measurement. */
  seconds: number;
  /** Path of another checkout of the service, which is measured in the same run. */
  against: string | undefined;
}

export interface Scenario {
  name: string;
  title: string;
  /** Runs only if it is named with --only. */
  isExtra?: boolean;
  run(databases: Databases, options: Options): Promise<Omit<Result, 'scenario' | 'title'>>;
}

/** A contender with a separate load process, whose connections remain open between the rounds. */
export interface Entrant {
  contender: Contender;
  load: Load;
}

export async function enter(
  contender: Contender,
  { connections, rooms, atOnce = 32 }: { connections: number; rooms: readonly number[]; atOnce?: number },
): Promise<Entrant> {
  const load = startLoad();
  await load.open({
    ...{ dialect: contender.dialect, urls: contender.urls, atOnce },
    tokens: contender.tokens(connections),
    rooms: Array.from({ length: connections }, (_, n) => rooms[n % rooms.length]!),
  });
  return { contender, load };
}

/** Runs one measurement of an entrant. Computes the CPU time per confirmed message and per delivery. */
export async function countOf({ contender, load }: Entrant, task: (load: Load) => Promise<Count>): Promise<Sample> {
  const own = [...contender.pids, ...contender.behind];
  const storedBefore = await contender.stored?.();
  const [serverBefore, loadBefore] = [cpuMsOf(own), cpuMsOf([load.pid])];
  const count = await task(load);
  const serverUs = (cpuMsOf(own) - serverBefore) * 1_000;
  const loadUs = (cpuMsOf([load.pid]) - loadBefore) * 1_000;
  const storedAfter = await contender.stored?.();
  const wrongRows = storedAfter === undefined ? 0 : storedAfter - storedBefore! - count.confirmedInAll;
  if (count.failed > 0) console.error(contender.name, await load.failures());
  return {
    sendsPerSecond: count.confirmed / count.seconds,
    deliveriesPerSecond: count.deliveries / count.seconds,
    cpuUsPerSend: (serverUs + loadUs) / count.confirmedInAll,
    serverUsPerSend: serverUs / count.confirmedInAll,
    serverUsPerDelivery: serverUs / count.deliveriesInAll,
    deliveriesPerServerCpuSecond: (count.deliveriesInAll * 1e6) / serverUs,
    ...{ confirmP50Ms: count.confirmMs.p50, confirmP99Ms: count.confirmMs.p99 },
    ...{ deliverP50Ms: count.deliverMs.p50, deliverP99Ms: count.deliverMs.p99 },
    ...{ loadBusy: count.loadBusy, wrongRows },
    ...{ lost: count.lost, duplicated: count.duplicated, reordered: count.reordered, failed: count.failed },
  };
}

/**
 * Measures all of them in turn, in reverse order in every second round, so that other activity of the machine affects
 * all of them equally.
 */
export async function inTurn<T extends { name: string }>(
  all: readonly T[],
  rounds: number,
  measure: (one: T, round: number) => Promise<Sample>,
): Promise<Row[]> {
  const samples = new Map<string, Sample[]>(all.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const one of round % 2 === 0 ? all : [...all].reverse()) {
      samples.get(one.name)!.push(await measure(one, round));
      process.stderr.write('.');
    }
  }
  return all.map(({ name }) => ({ name, figures: spreadsOf(samples.get(name)!) }));
}

/** Measures rows that result from a single measurement. */
export async function together(
  names: readonly string[],
  rounds: number,
  measure: () => Promise<Sample[]>,
): Promise<Row[]> {
  const samples: Sample[][] = [];
  for (let round = 0; round < rounds; round++) {
    samples.push(await measure());
    process.stderr.write('.');
  }
  return names.map((name, n) => ({ name, figures: spreadsOf(samples.map((ofRound) => ofRound[n]!)) }));
}

/** Collects the rows of a scenario whose steps are measured once, one after the other, and prints each at once. */
export function collectSteps() {
  const rows: Row[] = [];
  return {
    rows,
    add(name: string, sample: Sample): void {
      rows.push({ name, figures: spreadsOf([sample]) });
      process.stderr.write(`\n${name} ${JSON.stringify(sample)}`);
    },
  };
}

/** The longest stall of the event loop in each step that has measured it. */
export const stallsIn = (rows: readonly Row[]): Reach[] =>
  rows.flatMap(({ name, figures: { stallMs } }) =>
    stallMs ? [atMost(50, `longest stall of the event loop, ${name}, ms`, stallMs.median)] : [],
  );

export const named = (entrants: readonly Entrant[]) =>
  entrants.map((entrant) => ({ name: entrant.contender.name, entrant }));

export function figure(rows: readonly Row[], name: string, figure: string): number {
  return rows.find((row) => row.name === name)?.figures[figure]?.median ?? Number.NaN;
}

export function atLeast(wanted: number, what: string, value: number): Reach {
  return { what, wanted: `≥ ${wanted}`, value, met: value >= wanted };
}

export function atMost(wanted: number, what: string, value: number): Reach {
  return { what, wanted: `≤ ${wanted}`, value, met: value <= wanted };
}

const faultFigures = ['lost', 'duplicated', 'reordered', 'failed', 'wrongRows'];

/** Lists the faults of all rounds; without defects the list is empty. */
export function faultsIn(rows: readonly Row[]): string[] {
  return rows.flatMap(({ name, figures }) =>
    faultFigures.flatMap((fault) => {
      const { min = 0, max = 0 } = figures[fault] ?? {};
      return min === 0 && max === 0 ? [] : [`${name}: ${fault} ${min === 0 ? max : min}`];
    }),
  );
}
