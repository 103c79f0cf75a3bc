import pg from 'pg';
import { importLegacy } from '../../src/legacy-import/import-legacy.ts';
import { openLegacyDatabase } from '../../src/legacy-import/legacy-database.ts';
import { formatReport, type ImportResult } from '../../src/legacy-import/report.ts';
import { openTarget } from '../../src/legacy-import/target.ts';
import { closeLater } from './cleanup.ts';
import type { Json } from './json.ts';

interface ImportRun extends ImportResult {
  report: string;
  /** The printed progress. */
  progress: string[];
}

interface ImportOptions {
  dryRun?: boolean;
  contentBytes?: number;
}

/** Does in this process what `npm run import` does. `to` is a URL, or a directory for the embedded database. */
export async function runImport(
  from: string,
  to: string,
  { dryRun: isDryRun = false, contentBytes: maxContentBytes = 8_192 }: ImportOptions = {},
): Promise<ImportRun> {
  const legacy = await openLegacyDatabase(from);
  try {
    const isUrl = to.startsWith('postgres');
    const target = await openTarget(
      isUrl ? { mode: 'postgres', databaseUrl: to } : { mode: 'embedded', directory: to },
      isDryRun,
    );
    try {
      const progress: string[] = [];
      const print = (line: string) => void progress.push(line);
      const outcome = await importLegacy({ legacy, target, maxContentBytes, isDryRun, print });
      const report = formatReport(outcome, { from: legacy.location, to: target.location, isDryRun });
      return { ...outcome, report, progress };
    } finally {
      await target.close();
    }
  } finally {
    await legacy.close();
  }
}

/** Runs statements on a database and returns their rows. */
export async function openQuery(url: string): Promise<(text: string, values?: unknown[]) => Promise<Json[]>> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  closeLater(() => client.end());
  return async (text, values) => (await client.query(text, values)).rows;
}
