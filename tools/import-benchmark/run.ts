import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { openTarget } from '../../src/legacy-import/target.ts';
import { onRunEnd } from '../../test/helpers/cleanup.ts';
import { execute, startPostgres } from '../../test/helpers/postgres.ts';
import { dataDirectory, runCommand } from '../../test/helpers/process.ts';
import { generateOriginal, sayMore } from './generate.ts';
import { verifyImport } from './verify.ts';

/**
 * An import of a generated original, as large as wanted: shows what it prints, how long it takes, and that everything
 * has come. Then the original goes on for a while, and the import runs again. PostgreSQL waits for the disk here, as it
 * does in production.
 */
const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '1000000' },
    rooms: { type: 'string', default: '2000' },
    more: { type: 'string', default: '10000' },
    embedded: { type: 'boolean', default: false },
  },
});
const [messages, rooms, more] = [Number(values.messages), Number(values.rooms), Number(values.more)];

const safe = { fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on', max_wal_size: '4GB' };
const postgres = await startPostgres(safe);
const DATA_DIR = dataDirectory();

async function emptyDatabase(name: string): Promise<string> {
  await execute(postgres.url, `create database ${name}`);
  const url = new URL(postgres.url);
  url.pathname = `/${name}`;
  return url.href;
}

/** The peak memory of a process, if the system reports it. */
function peakOf(pid: number): string | undefined {
  try {
    const kilobytes = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kilobytes && `${Math.round(Number(kilobytes) / 1_024)} MiB`;
  } catch {
    return undefined;
  }
}

/** Runs a command and prints its output, duration and peak memory. */
async function timed(title: string, file: string, args: string[]): Promise<void> {
  console.log(`\n$ npm run ${title} -- ${args.join(' ')}`);
  const began = performance.now();
  const command = runCommand(file, env, args);
  for (const stream of [command.child.stdout, command.child.stderr]) stream.pipe(process.stdout, { end: false });
  let peak = '';
  const watching = setInterval(() => {
    peak = peakOf(command.child.pid!) ?? peak;
  }, 100);
  const { code } = await command.exited;
  clearInterval(watching);
  console.log(`→ exit ${code} after ${((performance.now() - began) / 1_000).toFixed(1)} s, at most ${peak} of memory`);
  if (code !== 0) throw new Error(`It ended with ${code}`);
}

async function verified(): Promise<void> {
  const target = await openTarget(database, true);
  const began = performance.now();
  const count = await verifyImport(original, target).finally(() => target.close());
  const seconds = ((performance.now() - began) / 1_000).toFixed(1);
  console.log(
    `verified in ${seconds} s: ${count.toLocaleString('en')} messages, each with its id, emitter, content and date, in order; logs whole`,
  );
}

const original = await emptyDatabase('original');
const DATABASE_URL = values.embedded ? undefined : await emptyDatabase('target');
const env = { DATA_DIR, DATABASE_URL };
const database = DATABASE_URL
  ? { mode: 'postgres' as const, databaseUrl: DATABASE_URL }
  : { mode: 'embedded' as const, directory: DATA_DIR };
try {
  console.log(`generating ${rooms} rooms with ${messages} messages`);
  await generateOriginal(original, { rooms, messages });
  await timed('migrate', 'bin/migrate.ts', []);
  await timed('import', 'bin/legacy-import.ts', ['--dry-run', original]);
  await timed('import', 'bin/legacy-import.ts', [original]);
  await verified();
  console.log(`\nthe original goes on: ${more} more messages`);
  await sayMore(original, { rooms, messages: more });
  await timed('import', 'bin/legacy-import.ts', [original]);
  await verified();
  await timed('import', 'bin/legacy-import.ts', [original]);
} finally {
  await onRunEnd();
}
