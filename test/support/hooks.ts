import { runEnds, testBegins, testEnds, throwLateFailures, throwViolations } from './cleanup.ts';

/** In a worker this hook runs after every file; what they share ends with the process. */
const isWorker = process.env.MOCHA_WORKER_ID !== undefined;

export const mochaHooks = {
  beforeEach(this: Mocha.Context) {
    testBegins();
    const test = this.currentTest;
    const run = test?.fn as Mocha.AsyncFunc | undefined;
    if (!test || !run || run.length > 0) return;
    // Inside the test: a hook that throws would end the whole run.
    test.fn = async function (this: Mocha.Context) {
      await run.call(this);
      throwViolations();
    };
  },

  afterEach: testEnds,

  async afterAll(this: Mocha.Context) {
    if (isWorker) return throwLateFailures();
    this.timeout(60_000);
    await runEnds();
  },
};
