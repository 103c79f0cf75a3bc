import { cpSync, mkdirSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { readManifest, selectProjectFields, writeManifest } from './manifest.ts';

/** The rest of the project is needed only to develop it. */
const contents = [
  'playground/index.html',
  'playground/style.css',
  'playground/icon.svg',
  'docs',
  'deploy',
  'examples',
  'README.md',
  'README.es.md',
  'CHANGELOG.md',
  'LICENSE',
];

const isLeftOut = (path: string) =>
  /\.map$|\.test\.yml$|^(dist\/packages|examples\/react\/(dist|node_modules))(\/|$)/.test(path);

/**
 * Writes the package `nano-messaging` as a directory. Its manifest has neither the development dependencies nor the
 * optional Node.js of this repository: in the project of a user, that one would come first in the `PATH` of all scripts.
 */
export function stageServerPackage(root: string, output: string): string {
  const directory = join(output, 'nano-messaging');
  mkdirSync(directory);
  // `dist` may contain the output, and a directory cannot be copied into itself.
  const built = readdirSync(join(root, 'dist')).map((name) => `dist/${name}`);
  for (const path of [...built, ...contents]) {
    if (isLeftOut(path)) continue;
    cpSync(join(root, path), join(directory, path), {
      recursive: true,
      filter: (source) => !isLeftOut(relative(root, source)),
    });
  }
  const manifest = readManifest(root);
  const { description, keywords, type, exports, bin, engines, dependencies } = manifest;
  writeManifest(directory, {
    ...{ name: 'nano-messaging', description, keywords, ...selectProjectFields(manifest) },
    ...{ type, exports, bin, engines, dependencies },
  });
  return directory;
}
