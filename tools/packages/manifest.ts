import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type Manifest = Record<string, unknown> & {
  version: string;
  homepage: string;
  exports: Record<string, unknown>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
};

export const readManifest = (root: string) => JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;

export function writeManifest(directory: string, manifest: object): void {
  writeFileSync(join(directory, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

/** What both packages say about the project. */
export function selectProjectFields({ version, homepage, bugs, repository, license }: Manifest) {
  return { version, homepage, bugs, repository, license };
}
