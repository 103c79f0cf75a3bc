import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { makeDirectory } from '../../../src/database/make-directory.ts';

describe('makeDirectory', () => {
  it('creates a directory and its parents for this user only, and keeps existing directories', () => {
    const root = mkdtempSync(join(tmpdir(), 'nano-make-'));
    try {
      const directory = join(root, 'one/two');
      makeDirectory(directory);
      makeDirectory(directory);
      for (const made of [join(root, 'one'), directory]) expect(statSync(made).mode & 0o777).to.equal(0o700);
    } finally {
      rmSync(root, { recursive: true });
    }
  });

  it('throws if it cannot create anything at the path, without hanging', function () {
    if (process.platform !== 'linux') this.skip();
    expect(() => makeDirectory('/proc/nano-messaging')).to.throw('ENOENT');
    expect(() => makeDirectory('/proc/nano-messaging/data')).to.throw('ENOENT');
    expect(() => makeDirectory('/proc/version/data')).to.throw('ENOTDIR');
  });
});
