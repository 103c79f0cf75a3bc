import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below the ports that the operating system gives to connections and to servers on port 0: they could take the port
 * before the server for which it was found.
 */
const lowest = 10_000;
const highest = 32_000;

/** Finds a port that is currently free, for a server that cannot use port 0 or needs the same port after a restart. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(lowest, highest);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer().once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}
