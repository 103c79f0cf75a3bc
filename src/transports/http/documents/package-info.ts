import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';

interface PackageInfo {
  name: string;
  version: string;
  license: string;
}

export function readPackageInfo(): PackageInfo {
  return JSON.parse(readFileSync(findPackageJSON('..', import.meta.url)!, 'utf8')) as PackageInfo;
}
