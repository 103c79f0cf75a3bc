import pg from 'pg';
import { migratePostgres } from '../../src/database/migrate.ts';
import { importOriginal, type Outcome } from '../../src/legacy-import/import-legacy.ts';
import { openOriginal } from '../../src/legacy-import/legacy-database.ts';
import { reportOf } from '../../src/legacy-import/report.ts';
import { openTarget } from '../../src/legacy-import/target.ts';
import { closeLater } from './cleanup.ts';
import type { Loose } from './loose.ts';
import { execute, freshDatabase } from './postgres.ts';

let template: Promise<string> | undefined;

/** A database of this service that is migrated and empty. */
export async function migratedDatabase(): Promise<string> {
  template ??= freshDatabase().then(async (url) => {
    await migratePostgres(url);
    return url;
  });
  const url = new URL(await template);
  const model = url.pathname.slice(1);
  const name = `${model}_${Math.random().toString(36).slice(2)}`;
  await execute(url.href.replace(model, 'postgres'), `create database ${name} template ${model}`);
  url.pathname = `/${name}`;
  return url.href;
}

interface Brought extends Outcome {
  report: string;
  /** What was told on the way. */
  told: string[];
}

interface How {
  dryRun?: boolean;
  contentBytes?: number;
}

/** What `npm run import` does, in this process. `to`: a URL, or a directory for the embedded database. */
export async function bring(
  from: string,
  to: string,
  { dryRun = false, contentBytes = 8_192 }: How = {},
): Promise<Brought> {
  const original = await openOriginal(from);
  try {
    const isUrl = to.startsWith('postgres');
    const target = await openTarget(
      isUrl ? { mode: 'postgres', databaseUrl: to } : { mode: 'embedded', directory: to },
      dryRun,
    );
    try {
      const told: string[] = [];
      const tell = (line: string) => void told.push(line);
      const outcome = await importOriginal({ original, target, contentBytes, dryRun, tell });
      const report = reportOf(outcome, { from: original.place, to: target.place, dryRun });
      return { ...outcome, report, told };
    } finally {
      await target.close();
    }
  } finally {
    await original.close();
  }
}

/** Statements in a database, each answered with its rows. */
export async function asking(url: string): Promise<(text: string, values?: unknown[]) => Promise<Loose[]>> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  closeLater(() => client.end());
  return async (text, values) => (await client.query(text, values)).rows;
}
