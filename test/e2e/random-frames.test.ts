import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { freshDatabase } from '../helpers/postgres.ts';

const project = resolve(import.meta.dirname, '../..');

describe('random frames and requests from a seed', () => {
  it('answers random frames and requests as documented, and keeps the process alive', async function () {
    this.timeout(120_000);
    const args = ['tools/fuzz/run.ts', '--frames', '2000', '--requests', '700', '--seed', '42'];
    // A server that begins with an empty embedded database takes seconds to start.
    const env = { ...process.env, DATABASE_URL: await freshDatabase() };
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: project, env });
    expect(stdout.trim().split('\n').at(-1)).to.match(/the process lives, every answer documented$/);
  });
});
