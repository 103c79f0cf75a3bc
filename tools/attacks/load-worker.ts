import { parentPort, workerData } from 'node:worker_threads';
import { runLoad } from './load.ts';

// Runs on a separate thread, so that the load does not delay the time measurements of the victim.
parentPort!.postMessage(await runLoad(workerData));
