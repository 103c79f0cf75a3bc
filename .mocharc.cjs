const { readdirSync } = require('node:fs');

// `npm test` runs every test; `npm test -- test/unit/config/config.test.ts` runs that file only.
const namesFiles = process.argv.slice(2).some((word) => word.endsWith('.test.ts'));

const files = readdirSync('test', { recursive: true })
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => `test/${name}`)
  .sort();
const list = (...directories) => files.filter((name) => directories.includes(name.split('/')[1]));

// The tests of whole programs keep the cores busy, and those of Redis and of lost connections mostly wait. They take turns.
const busy = list('e2e');
const waiting = list('cluster', 'client');
const first = files.flatMap((_, n) => [busy[n], waiting[n]]).filter(Boolean);
// The fast tests run last, so that both workers finish at about the same time.
const last = list('unit').reverse();
const others = files.filter((name) => !first.includes(name) && !last.includes(name));

module.exports = {
  extension: ['ts'],
  require: ['test/helpers/hooks.ts'],
  spec: namesFiles ? [] : [...first, ...others, ...last],
  // No test measures this time. It only ends tests that hang, even on a busy machine.
  timeout: 60_000,
  parallel: true,
  // As many as the cores of the smallest machine.
  jobs: 2,
  forbidOnly: true,
  exit: true,
  reporter: 'test/helpers/reporter.ts',
};
