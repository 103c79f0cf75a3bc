import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onRunEnd } from '../test/helpers/cleanup.ts';
import { parseNames, parseWholeNumber, readCommandLine } from '../tools/command-line.ts';
import { startDatabases } from './databases.ts';
import { describeMachine } from './machine/about.ts';
import { printResult } from './report.ts';
import type { Result } from './scenario.ts';
import { scenarios } from './scenarios/all.ts';

const names = scenarios.map(({ name }) => name);
const extras = scenarios.filter(({ isExtra }) => isExtra).map(({ name }) => name);

const usage = `npm run bench -- [options]: compares the service with the bare libraries that it is built on, in one run. Prints
tables and writes bench/results.json, or bench/results.partial.json with --only.

  --only A,B       runs these scenarios, of ${names.join(', ')}.
                   By default all but ${extras.join(', ')}
  --rounds N       number of rounds of each scenario (3)
  --seconds N      duration of each measurement (3)
  --against PATH   also measures another checkout of the service
  --help

Exit codes: 0 done; 1 failed, or messages were lost, duplicated or reordered; 2 invalid arguments`;

const options = {
  only: { type: 'string' },
  rounds: { type: 'string', default: '3' },
  seconds: { type: 'string', default: '3' },
  against: { type: 'string' },
} as const;
const { only, ...settings } = readCommandLine(usage, options, ({ only, rounds, seconds, against }) => ({
  only: only === undefined ? undefined : parseNames('only', only, names),
  rounds: parseWholeNumber('rounds', rounds, 1),
  seconds: parseWholeNumber('seconds', seconds, 1),
  against,
}));
const chosen = scenarios.filter(({ name, isExtra }) => only?.includes(name) ?? !isExtra);

process.setMaxListeners(100);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
const results: Result[] = [];
try {
  for (const scenario of chosen) {
    // Each scenario gets fresh databases and processes, so that no scenario affects the next.
    const databases = await startDatabases();
    process.stderr.write(`${scenario.name} `);
    const result = { scenario: scenario.name, title: scenario.title, ...(await scenario.run(databases, settings)) };
    process.stderr.write('\n');
    results.push(result);
    printResult(result);
    await onRunEnd();
  }
  const run = { date: new Date().toISOString(), ...settings, ...describeMachine(), results };
  const file = join(import.meta.dirname, only ? 'results.partial.json' : 'results.json');
  writeFileSync(
    file,
    `${JSON.stringify(run, (_key, value) => (typeof value === 'number' ? Number(value.toPrecision(4)) : value), 1)}\n`,
  );
  const faults = results.flatMap((result) => result.faults);
  process.exitCode = faults.length === 0 ? 0 : 1;
} finally {
  await onRunEnd();
}
process.exit();
