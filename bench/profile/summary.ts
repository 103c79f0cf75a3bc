/** `node bench/profile/summary.ts FILE` shows where the time of a CPU profile went, by part and by function. */
import { readFileSync } from 'node:fs';
import type { Profiler } from 'node:inspector';

const most = 45;
const profile = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as Profiler.Profile;
const selfUs = new Map<number, number>();
for (const [n, id] of (profile.samples ?? []).entries()) {
  selfUs.set(id, (selfUs.get(id) ?? 0) + (profile.timeDeltas?.[n] ?? 0));
}
const parents = new Map<number, number>();
for (const { id, children = [] } of profile.nodes) for (const child of children) parents.set(child, id);
const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
const nearest = new Map<string, number>();
const parts = new Map<string, number>();
const functions = new Map<string, number>();
let total = 0;
for (const { id, callFrame } of profile.nodes) {
  const us = selfUs.get(id) ?? 0;
  const { functionName, url, lineNumber } = callFrame;
  if (functionName === '(idle)') continue;
  total += us;
  add(parts, partOf(url, functionName), us);
  add(nearest, nearestOf(id), us);
  add(functions, `${functionName || '(anonymous)'} ${url.split('/').slice(-3).join('/')}:${lineNumber + 1}`, us);
}
print('by part', parts);
print('by the nearest function of ours', nearest);
print('by function', functions);

/** The nearest caller in our own code, to which the time of a library counts. */
function nearestOf(id: number): string {
  for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
    const { functionName, url, lineNumber } = nodes.get(at)!.callFrame;
    if (/\/src\/|redis-adapter|@redis/.test(url))
      return `${functionName} ${url.split('/').slice(-2).join('/')}:${lineNumber + 1}`;
  }
  let top = id;
  for (
    let at = parents.get(id);
    at !== undefined && nodes.get(at)!.callFrame.functionName !== '(root)';
    at = parents.get(at)
  )
    top = at;
  const { functionName, url } = nodes.get(top)!.callFrame;
  return `none: ${functionName} ${url.split('/').slice(-2).join('/')}`;
}

function partOf(url: string, functionName: string): string {
  const dependency = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1];
  const own = /\/(src|bench)\/(.*?)[^/]*$/.exec(url);
  return (
    dependency ??
    (own ? `${own[1]}/${own[2]}` : url.startsWith('node:') ? url.split('/').slice(0, 2).join('/') : functionName)
  );
}

function add(sums: Map<string, number>, key: string, us: number): void {
  sums.set(key, (sums.get(key) ?? 0) + us);
}

function print(title: string, sums: Map<string, number>): void {
  console.log(`\n${title}, % of ${(total / 1e6).toFixed(2)} s`);
  const sorted = [...sums].sort(([, a], [, b]) => b - a).slice(0, most);
  for (const [name, us] of sorted) console.log(`${((100 * us) / total).toFixed(1).padStart(6)}  ${name}`);
}
