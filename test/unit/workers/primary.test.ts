import cluster from 'node:cluster';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { type Primary, startPrimary } from '../../../src/workers/primary.ts';
import { captureLog } from '../../helpers/captured-log.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const config = { workers: 2, drainTimeoutMs: 10_000 };
const workerFile = fileURLToPath(new URL('../../fixtures/slow-worker.ts', import.meta.url));

describe('startPrimary', () => {
  it('drains while another worker still starts', async () => {
    const log = captureLog();
    let drained: Promise<boolean> | undefined;
    const onServing = (primary: Primary) => {
      // By then, the start of the second worker has begun.
      setImmediate(() => {
        drained = primary.drain();
      });
    };
    await startPrimary({ config, workerFile, logger: log.logger, onServing });
    expect(await drained).to.equal(true);
    expect(log.warnings(), 'no worker was started again').to.deep.equal([]);
  });

  for (const { how, failOnce } of [
    { how: 'throws', failOnce: throwOnce },
    { how: 'reports an error', failOnce: reportErrorOnce },
  ]) {
    it(`starts a worker again if \`fork\` ${how}`, async () => {
      const log = captureLog();
      let restore = () => {};
      const onServing = () => {
        restore = failOnce();
      };
      try {
        const primary = await startPrimary({ config, workerFile, logger: log.logger, onServing });
        restore();
        const forked = () => Object.keys(cluster.workers!).length === 2;
        await waitUntil('the second worker is started again', forked);
        expect(log.startingWith('worker ended; starting it again')).to.have.length(1);
        expect(await primary.drain()).to.equal(true);
      } finally {
        restore();
      }
    });
  }
});

/** As Node.js does if the system has no memory for another process. */
function throwOnce(): () => void {
  const { fork } = cluster;
  const restore = () => {
    cluster.fork = fork;
  };
  cluster.fork = () => {
    restore();
    throw new Error('spawn ENOMEM');
  };
  return restore;
}

/** As Node.js does if the user has too many processes. The program that does not exist fails in the same way. */
function reportErrorOnce(): () => void {
  const { execPath } = process;
  process.execPath = '/nonexistent';
  return () => {
    process.execPath = execPath;
  };
}
