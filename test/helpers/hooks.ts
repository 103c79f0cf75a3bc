import { enableCompileCache } from 'node:module';
import { onFileEnd, onRunEnd, onTestEnd, onTestStart, throwViolations } from './cleanup.ts';
import { makeTemplate } from './embedded-template.ts';

// The workers and the processes that the tests start compile the same files many times.
process.env.NODE_COMPILE_CACHE ??= enableCompileCache().directory;
// The compiler of TypeScript is written in Go. With fewer garbage collections it takes a fifth less CPU time.
process.env.GOGC ??= '400'; // cspell:disable-line

/** In a worker, `afterAll` runs after every file, so resources that files share remain open until the process ends. */
const isWorker = process.env.MOCHA_WORKER_ID !== undefined;

let removeTemplate: (() => Promise<void>) | undefined;

/** Runs before the workers start. A single file creates its own template if it needs one. */
export async function mochaGlobalSetup(this: { isParallelMode(): boolean }): Promise<void> {
  if (this.isParallelMode()) removeTemplate = await makeTemplate();
}

export async function mochaGlobalTeardown(): Promise<void> {
  await removeTemplate?.();
}

export const mochaHooks = {
  beforeEach(this: Mocha.Context) {
    onTestStart();
    const test = this.currentTest;
    const run = test?.fn as Mocha.AsyncFunc | undefined;
    if (!test || !run || run.length > 0) return;
    // Inside the test, because a hook that throws would end the whole run.
    test.fn = async function (this: Mocha.Context) {
      await run.call(this);
      throwViolations();
    };
  },

  afterEach: onTestEnd,

  async afterAll(this: Mocha.Context) {
    this.timeout(60_000);
    await (isWorker ? onFileEnd() : onRunEnd());
  },
};
