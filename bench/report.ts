import type { Result, Row } from './scenario.ts';

/** Figures that have a column in the table, in this order. */
const columns: [figure: string, heading: string][] = [
  ['sendsPerSecond', 'sends/s'],
  ['deliveriesPerSecond', 'deliveries/s'],
  ['requestsPerSecond', 'requests/s'],
  ['connectsPerSecond', 'connects/s'],
  ['joinsPerSecond', 'joins/s'],
  ['mib', 'MiB'],
  ['mibPerThousand', 'MiB/1,000 connections'],
  ['mibInAll', 'MiB in all'],
  ['serverMsPerSecond', 'server CPU ms/s'],
  ['databasesMsPerSecond', 'databases CPU ms/s'],
  ['cpuUsPerSend', 'CPU µs/send'],
  ['serverUsPerSend', 'server µs/send'],
  ['serverUsPerRequest', 'server µs/request'],
  ['serverUsPerDelivery', 'server µs/delivery'],
  ['cpuUsPerConnect', 'server µs/connect'],
  ['cpuUsPerJoin', 'CPU µs/join'],
  ['serverUsPerJoin', 'server µs/join'],
  ['databasesUsPerRequest', 'databases µs/request'],
  ['databasesUsPerJoin', 'databases µs/join'],
  ['cpuUsPerRequest', 'CPU µs/request'],
  ['confirmP50Ms', 'confirm p50 ms'],
  ['confirmP99Ms', 'confirm p99 ms'],
  ['confirmMaxMs', 'confirm max ms'],
  ['upgradeSeconds', 'upgrade s'],
  ['deliverP50Ms', 'deliver p50 ms'],
  ['deliverP99Ms', 'deliver p99 ms'],
  ['opensPerSecond', 'opens/s'],
  ['openP50Ms', 'open p50 ms'],
  ['openP99Ms', 'open p99 ms'],
  ['itemsPerSecond', 'items/s'],
  ['lagP50Ms', 'item lag p50 ms'],
  ['lagP99Ms', 'item lag p99 ms'],
  ['kibPerInbox', 'KiB/inbox'],
  ['seconds', 's'],
  ['refused', 'refused'],
  ['stallMs', 'longest stall ms'],
  ['loadBusy', 'load busy'],
  ['noise', '± %'],
];

const busyLoad = 0.95;

export function printResult({ title, rows, reaches, faults }: Result): void {
  console.log(`\n## ${title}\n`);
  const shown = columns.filter(
    ([figure]) => figure === 'noise' || rows.some((row) => Number.isFinite(row.figures[figure]?.median)),
  );
  console.log(tableRow(['', ...shown.map(([, heading]) => heading)]));
  console.log(tableRow(['---', ...shown.map(() => '---:')]));
  for (const row of rows) console.log(tableRow([row.name, ...shown.map(([figure]) => cell(row, figure))]));
  if (reaches.length > 0) {
    console.log(`\n${tableRow(['target', 'required', 'measured', ''])}\n${tableRow(['---', '---', '---:', '---'])}`);
    for (const { what, wanted, value, met } of reaches)
      console.log(tableRow([what, wanted, text(value), met ? 'met' : '**not met**']));
  }
  const limited = rows.filter((row) => (row.figures.loadBusy?.median ?? 0) > busyLoad).map((row) => row.name);
  if (limited.length > 0)
    console.log(`\nthe load used a whole core, so these may be faster than shown: ${limited.join(', ')}`);
  console.log(
    faults.length === 0 ? '\nno messages lost, duplicated or reordered' : `\nFAULTS\n  ${faults.join('\n  ')}`,
  );
}

function cell(row: Row, figure: string): string {
  if (figure === 'noise') return noiseOf(row);
  return text(row.figures[figure]?.median ?? Number.NaN);
}

/** Half the range of the row's first figure over all rounds, as a percentage of its median. */
function noiseOf({ figures }: Row): string {
  const first = columns.map(([figure]) => figures[figure]).find((spread) => spread && Number.isFinite(spread.median));
  return first ? String(Math.round((50 * (first.max - first.min)) / first.median)) : '';
}

export function text(value: number): string {
  if (!Number.isFinite(value)) return '';
  if (value >= 100) return Math.round(value).toLocaleString('en-US');
  return value.toPrecision(value >= 10 ? 3 : 2);
}

const tableRow = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
