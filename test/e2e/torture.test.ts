import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';

const project = resolve(import.meta.dirname, '../..');
const args = ['--seconds', '12', '--clients', '24', '--rooms', '6', '--seed', '42'];

/** The output, whether the run failed or not. */
async function torture(...more: string[]): Promise<string> {
  const run = promisify(execFile)(process.execPath, ['tools/torture/run.ts', ...args, ...more], { cwd: project });
  const { stdout } = await run.catch((failed: { stdout: string }) => failed);
  return stdout.trim();
}

describe('three nodes that are killed, frozen and cut off, with Redis and PostgreSQL', function () {
  // The run has a shorter time limit.
  this.timeout(240_000);

  it('loses, duplicates and reorders no messages, and delivers none to banned users', async () => {
    const output = await torture();
    expect(output.split('\n').at(-1), output).to.match(/0 lost, 0 duplicated, 0 reordered, 0 leaked — OK$/);
  });
});
