import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts in ticks of 10 ms. */
const tickMs = 10;

interface Stat {
  parent: number;
  ms: number;
}

/** CPU time in ms of these processes, their descendants, and their children that have ended. */
export function cpuMsOf(pids: readonly number[]): number {
  const stats = allStats();
  const children = new Map<number, number[]>();
  for (const [pid, { parent }] of stats) children.set(parent, [...(children.get(parent) ?? []), pid]);
  const counted = new Set<number>();
  const waiting = [...pids];
  for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
    if (counted.has(pid)) continue;
    counted.add(pid);
    waiting.push(...(children.get(pid) ?? []));
  }
  let ms = 0;
  for (const pid of counted) ms += stats.get(pid)?.ms ?? 0;
  return ms;
}

function allStats(): Map<number, Stat> {
  const stats = new Map<number, Stat>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    const stat = Number.isInteger(pid) ? readStat(pid) : undefined;
    if (stat) stats.set(pid, stat);
  }
  return stats;
}

function readStat(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field, a name in parentheses, can contain spaces.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [utime, stime, cutime, cstime] = fields.slice(11, 15).map(Number) as [number, number, number, number];
    return { parent: Number(fields[1]), ms: (utime + stime + cutime + cstime) * tickMs };
  } catch {
    return undefined; // the process has ended meanwhile
  }
}

/** The anonymous memory of a process in KiB, that is, without mapped files. */
export function anonymousKibOf(pid: number): number {
  return Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN);
}
