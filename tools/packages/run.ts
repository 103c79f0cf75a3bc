import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { readCommandLine } from '../command-line.ts';
import { stageClientPackage } from './client-package.ts';
import { stageServerPackage } from './server-package.ts';

const usage = `npm run packages: builds the two packages that are published, nano-messaging and nano-messaging-client, as directories and
archives.

  --output DIRECTORY   replaced if it exists; relative to the project (dist/packages)
  --help`;

const root = resolve(import.meta.dirname, '../..');
const { output } = readCommandLine(usage, { output: { type: 'string' } }, ({ output }) => ({
  output: resolve(root, output ?? 'dist/packages'),
}));

execFileSync('npm', ['run', 'build'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
rmSync(output, { recursive: true, force: true });
mkdirSync(output, { recursive: true });
const directories = [stageServerPackage(root, output), await stageClientPackage(root, output)];
for (const directory of directories) {
  execFileSync('npm', ['pack', directory, '--pack-destination', output, '--loglevel', 'error'], { stdio: 'inherit' });
}
