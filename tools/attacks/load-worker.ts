import { parentPort, workerData } from 'node:worker_threads';
import { runLoad } from './load.ts';

// On a thread of its own, so that it does not delay the clock of the victim.
parentPort!.postMessage(await runLoad(workerData));
