/** One of several processes that serve a node. The primary process starts it; see `workers/primary.ts`. */
import cluster from 'node:cluster';
import { WorkerLink } from '../cluster/worker-link.ts';
import { readConfig } from '../config/config.ts';
import { toWorkerConfig } from '../workers/worker-config.ts';
import { drainAndExit, drainOnSignal, exit, fail, handleSignals, openLog } from './process-lifecycle.ts';

async function main(): Promise<void> {
  handleSignals({ isWorker: true });
  const [slot, count] = process.argv.slice(2).map(Number) as [number, number];
  const config = toWorkerConfig(readConfig(process.env), count);
  const logger = openLog(config, { worker: slot });
  const link = new WorkerLink({ id: cluster.worker!.id, slot, count });
  link.answer('drain', drainAndExit);
  const { startServer } = await import('../server.ts');
  drainOnSignal(await startServer(config, { logger, link, onFailure: () => void exit(1) }));
}

main().catch(fail);
