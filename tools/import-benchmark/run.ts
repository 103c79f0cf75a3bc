import { readFileSync } from 'node:fs';
import { openTarget } from '../../src/legacy-import/target.ts';
import { onRunEnd } from '../../test/helpers/cleanup.ts';
import { execute, startPostgres } from '../../test/helpers/postgres.ts';
import { dataDirectory, runCommand } from '../../test/helpers/process.ts';
import { parseWholeNumber, readCommandLine } from '../command-line.ts';
import { addMessages, generateLegacyDatabase } from './generate.ts';
import { verifyImport } from './verify.ts';

const usage = `node tools/import-benchmark/run.ts [options]: imports a generated legacy database, and reports the duration, the peak memory
and whether all messages were imported. Then adds messages and imports again. PostgreSQL waits for the disk, as in production.

  --messages N   number of messages (1000000)
  --rooms N      number of rooms (2000)
  --more N       number of messages before the second import (10000)
  --embedded     imports into the embedded database
  --help`;

const options = {
  messages: { type: 'string', default: '1000000' },
  rooms: { type: 'string', default: '2000' },
  more: { type: 'string', default: '10000' },
  embedded: { type: 'boolean', default: false },
} as const;
const { messages, rooms, more, embedded } = readCommandLine(usage, options, (values) => ({
  messages: parseWholeNumber('messages', values.messages, 1),
  rooms: parseWholeNumber('rooms', values.rooms, 1),
  more: parseWholeNumber('more', values.more, 0),
  embedded: values.embedded,
}));

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
function readPeakMemory(pid: number): string | undefined {
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
    peak = readPeakMemory(command.child.pid!) ?? peak;
  }, 100);
  const { code } = await command.exited;
  clearInterval(watching);
  console.log(`→ exit ${code} after ${((performance.now() - began) / 1_000).toFixed(1)} s, peak memory ${peak}`);
  if (code !== 0) throw new Error(`The command ended with ${code}`);
}

async function verified(): Promise<void> {
  const target = await openTarget(database, true);
  const began = performance.now();
  const count = await verifyImport(legacy, target).finally(() => target.close());
  const seconds = ((performance.now() - began) / 1_000).toFixed(1);
  console.log(
    `verified in ${seconds} s: ${count.toLocaleString('en')} messages, with their ids, emitters, contents, dates and order; no gaps in the logs`,
  );
}

const legacy = await emptyDatabase('legacy');
const DATABASE_URL = embedded ? undefined : await emptyDatabase('target');
const env = { DATA_DIR, DATABASE_URL };
const database = DATABASE_URL
  ? { mode: 'postgres' as const, databaseUrl: DATABASE_URL }
  : { mode: 'embedded' as const, directory: DATA_DIR };
try {
  console.log(`generating ${rooms} rooms with ${messages} messages`);
  await generateLegacyDatabase(legacy, { rooms, messages });
  await timed('migrate', 'bin/migrate.ts', []);
  await timed('import', 'bin/legacy-import.ts', ['--dry-run', legacy]);
  await timed('import', 'bin/legacy-import.ts', [legacy]);
  await verified();
  console.log(`\nadding ${more} messages to the legacy database`);
  await addMessages(legacy, { rooms, messages: more });
  await timed('import', 'bin/legacy-import.ts', [legacy]);
  await verified();
  await timed('import', 'bin/legacy-import.ts', [legacy]);
} finally {
  await onRunEnd();
}
