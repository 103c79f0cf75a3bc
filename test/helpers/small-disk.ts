import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { closeLater } from './cleanup.ts';

const mebibyte = 1_048_576;

/** Mounts a separate disk, which is unmounted after the test. Returns undefined if this user cannot mount. */
export function smallDisk(sizeMiB: number) {
  const directory = mkdtempSync(join(tmpdir(), 'nano-disk-'));
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs', directory]);
  if (mount.status !== 0) {
    rmSync(directory, { recursive: true });
    return undefined;
  }
  closeLater(() => {
    execFileSync('umount', ['--lazy', directory]);
    rmSync(directory, { recursive: true });
  });
  const filler = join(directory, 'filler');
  return {
    directory,
    /** Fills the disk until only `leftMiB` are left. */
    fill(leftMiB: number) {
      const { bavail, bsize } = statfsSync(directory);
      writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize - leftMiB * mebibyte)));
    },
    makeRoom: () => rmSync(filler),
  };
}
