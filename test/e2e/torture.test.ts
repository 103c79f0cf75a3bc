import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';

const project = resolve(import.meta.dirname, '../..');
const args = ['--seconds', '12', '--clients', '24', '--rooms', '6', '--seed', '42'];

/** What it printed, whether it failed or not. */
async function torture(...more: string[]): Promise<string> {
  const run = promisify(execFile)(process.execPath, ['tools/torture/run.ts', ...args, ...more], { cwd: project });
  const { stdout } = await run.catch((failed: { stdout: string }) => failed);
  return stdout.trim();
}

describe('Three nodes that are killed, frozen and cut, with Redis and PostgreSQL', function () {
  // It ends itself before.
  this.timeout(240_000);

  it('lose nothing, and tell nothing twice, in another order, or to the banned', async () => {
    const said = await torture();
    expect(said.split('\n').at(-1), said).to.match(/0 lost, 0 doubled, 0 reordered, 0 leaked — OK$/);
  });
});
