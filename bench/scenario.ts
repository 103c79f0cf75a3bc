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

/** What is asked of a scenario, and what came out. */
export interface Reach {
  what: string;
  /** As in `≥ 0.7`. */
  wanted: string;
  value: number;
  met: boolean;
}

export interface Result {
  scenario: string;
  title: string;
  rows: Row[];
  reaches: Reach[];
  /** Messages lost, doubled or told in another order, or rows that are not what was confirmed. */
  faults: string[];
}

export interface Options {
  rounds: number;
  /** Of one measurement. */
  seconds: number;
  /** Another checkout of the service, measured beside this one. */
  against: string | undefined;
}

export interface Scenario {
  name: string;
  title: string;
  /** It runs only by its name. */
  isExtra?: boolean;
  run(databases: Databases, options: Options): Promise<Omit<Result, 'scenario' | 'title'>>;
}

/** A contender with a load of its own, whose lines stay open between the rounds. */
export interface Entrant {
  contender: Contender;
  load: Load;
}

export async function enter(
  contender: Contender,
  { lines, rooms, atOnce = 32 }: { lines: number; rooms: readonly number[]; atOnce?: number },
): Promise<Entrant> {
  const load = startLoad();
  await load.open({
    ...{ dialect: contender.dialect, urls: contender.urls, atOnce },
    tokens: contender.tokens(lines),
    rooms: Array.from({ length: lines }, (_, n) => rooms[n % rooms.length]!),
  });
  return { contender, load };
}

/** One run of an entrant, with the CPU that it took, per confirmed message and per delivery. */
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
    ...{ lost: count.lost, doubled: count.doubled, inverted: count.inverted, failed: count.failed },
  };
}

/** All of them in turn, every other round backwards; what else the machine does then falls on all alike. */
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

/** Rows that come out of one measurement together. */
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

/** Named entrants for `inTurn`. */
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

const faultFigures = ['lost', 'doubled', 'inverted', 'failed', 'wrongRows'];

/** In any round; it should be none, of whomever. */
export function faultsIn(rows: readonly Row[]): string[] {
  return rows.flatMap(({ name, figures }) =>
    faultFigures.flatMap((fault) => {
      const { min = 0, max = 0 } = figures[fault] ?? {};
      return min === 0 && max === 0 ? [] : [`${name}: ${fault} ${min === 0 ? max : min}`];
    }),
  );
}
