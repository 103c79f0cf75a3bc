/**
 * `npm run bench [-- --only sends,idle] [--rounds 3] [--seconds 3] [--against ../before]`: what the service costs beside the libraries it
 * stands on, measured in the same run. Prints tables and writes `bench/results.json`.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { onRunEnd } from '../test/helpers/cleanup.ts';
import { aboutMachine } from './machine/about.ts';
import { printResult } from './report.ts';
import type { Result } from './scenario.ts';
import { scenarios } from './scenarios/all.ts';
import { startStand } from './stand.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    against: { type: 'string' },
  },
});
const wanted = values.only?.split(',') ?? scenarios.filter(({ isExtra }) => !isExtra).map(({ name }) => name);
const unknown = wanted.filter((name) => !scenarios.some((scenario) => scenario.name === name));
if (unknown.length > 0) {
  console.error(`There is no ${unknown.join(', ')}; there are ${scenarios.map(({ name }) => name).join(', ')}`);
  process.exit(1);
}
const options = { rounds: Number(values.rounds), seconds: Number(values.seconds), against: values.against };

process.setMaxListeners(100);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
const results: Result[] = [];
try {
  for (const scenario of scenarios.filter(({ name }) => wanted.includes(name))) {
    // Fresh databases and processes, so that none carries on what another has begun.
    const stand = await startStand();
    process.stderr.write(`${scenario.name} `);
    const result = { scenario: scenario.name, title: scenario.title, ...(await scenario.run(stand, options)) };
    process.stderr.write('\n');
    results.push(result);
    printResult(result);
    await onRunEnd();
  }
  const run = { date: new Date().toISOString(), ...options, ...aboutMachine(), results };
  const file = join(import.meta.dirname, values.only ? 'results.partial.json' : 'results.json');
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
