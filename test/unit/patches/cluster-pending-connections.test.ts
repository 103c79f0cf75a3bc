import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { closeLater } from '../../helpers/cleanup.ts';

const patch = new URL('../../../src/patches/cluster-pending-connections.ts', import.meta.url);

/** A primary whose only worker is frozen and gets a connection. It reports its port, and kills the worker on a message. */
const primary = `
  import cluster from 'node:cluster';
  import { createServer } from 'node:net';
  import { closePendingConnections } from '${patch}';
  if (cluster.isPrimary) {
    cluster.schedulingPolicy = cluster.SCHED_RR;
    cluster.setupPrimary({ exec: process.argv[1] });
    const worker = cluster.fork();
    closePendingConnections(worker.process);
    cluster.on('listening', (_worker, { port }) => {
      worker.process.kill('SIGSTOP');
      process.send({ port });
    });
    process.on('message', () => worker.process.kill('SIGKILL'));
  } else {
    createServer(() => {}).listen(0, '127.0.0.1');
  }
`;

describe('A connection that the primary has given to a worker', () => {
  it('is closed if the worker ends before it has confirmed it', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'nano-cluster-'));
    closeLater(() => rmSync(directory, { recursive: true, force: true }));
    const file = join(directory, 'primary.mjs');
    writeFileSync(file, primary);
    const child = spawn(process.execPath, [file], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    closeLater(() => void child.kill('SIGKILL'));
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    const client = connect(port, '127.0.0.1');
    closeLater(() => client.destroy());
    await once(client, 'connect');
    const closed = once(client, 'close');
    client.on('error', () => {});
    client.resume();
    // The primary accepts the connection, and gives it to the worker, before it reads the message.
    await new Promise((resolve) => setTimeout(resolve, 100));
    child.send('kill');
    await closed;
    expect(client.destroyed).to.equal(true);
  });
});
