import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';

const project = resolve(import.meta.dirname, '../..');

describe('random frames and requests from a seed', () => {
  it('answers random frames and requests as documented, and keeps the process alive', async function () {
    this.timeout(120_000);
    const args = ['tools/fuzz/run.ts', '--frames', '2000', '--requests', '700', '--seed', '42'];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: project });
    expect(stdout.trim().split('\n').at(-1)).to.match(/the process lives, every answer documented$/);
  });
});
