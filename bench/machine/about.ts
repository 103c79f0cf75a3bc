import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { findPostgres } from '../../test/helpers/postgres-binaries.ts';

const load = createRequire(import.meta.url);

/** Describes the machine and the versions. Absolute figures of two machines cannot be compared; ratios can. */
export function describeMachine() {
  const cores = cpus();
  return {
    machine: {
      cpu: cores[0]?.model ?? 'unknown',
      cores: cores.length,
      memoryGib: Math.round(totalmem() / 2 ** 30),
      kernel: release(),
      loadAverage: Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]),
    },
    versions: {
      node: process.version,
      postgres: said(join(findPostgres(), 'postgres'), '--version'),
      redis: said('redis-server', '--version'),
      ...Object.fromEntries(['socket.io', 'ws', 'express', 'pg', '@socket.io/redis-adapter'].map(versionOf)),
    },
  };
}

function said(program: string, word: string): string {
  try {
    return execFileSync(program, [word], { encoding: 'utf8' }).trim().split('\n')[0]!;
  } catch {
    return 'unknown';
  }
}

function versionOf(name: string): [string, string] {
  const file = join(import.meta.dirname, '../../node_modules', name, 'package.json');
  return [name, (load(file) as { version: string }).version];
}
