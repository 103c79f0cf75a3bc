// `npm test` runs every test; `npm test -- test/unit/config/config.test.ts` runs that file only.
const namesFiles = process.argv.slice(2).some((word) => word.endsWith('.test.ts'));

module.exports = {
  extension: ['ts'],
  require: ['test/helpers/hooks.ts'],
  // The longest tests first, so that both workers finish at about the same time.
  spec: namesFiles ? [] : ['test/e2e/**/*.test.ts', 'test/unit/**/*.test.ts', 'test/!(e2e|unit)/**/*.test.ts'],
  timeout: 20_000,
  parallel: true,
  // One more than the cores of the smallest machine, because many tests wait.
  jobs: 2,
  forbidOnly: true,
  exit: true,
  reporter: 'test/helpers/reporter.ts',
};
