import { parseArgs } from 'node:util';
import { readConfig } from '../config/config.ts';
import { importLegacy } from '../legacy-import/import-legacy.ts';
import { openLegacyDatabase } from '../legacy-import/legacy-database.ts';
import { formatReport } from '../legacy-import/report.ts';
import { openTarget } from '../legacy-import/target.ts';

const usage = `npm run import -- [options] postgres://user:password@host:port/database

Copies rooms, rules and messages from the database of the legacy service into the database of this service (DATABASE_URL,
or the embedded database in DATA_DIR). The legacy database is only read. The import is one transaction, so it copies
everything or nothing. Run it again to import what is new since the last import. docs/guides/migrating.md explains the
report.

  --dry-run   reports what an import would do, and writes nothing
  --help      prints this text

Exit codes: 0 the import succeeded, and the report lists what was not imported; 1 it failed, and nothing was written`;

function readOptions() {
  const { values, positionals } = parseArgs({
    options: { 'dry-run': { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  return { dryRun: values['dry-run'], help: values.help, urls: positionals };
}

function parseLegacyUrl(urls: readonly string[]): string {
  const [url, ...more] = urls;
  const isUrl = url !== undefined && URL.canParse(url) && /^postgres(ql)?:$/.test(new URL(url).protocol);
  if (!isUrl || more.length > 0)
    throw new Error(`Give exactly one URL, that of the PostgreSQL database of the legacy service.\n\n${usage}`);
  return url;
}

async function main(): Promise<void> {
  const { dryRun: isDryRun, help, urls } = readOptions();
  if (help) return console.log(usage);
  const url = parseLegacyUrl(urls);
  const { database, limits, warnings } = readConfig(process.env, { needsKeys: false });
  for (const warning of warnings) console.error(warning);
  const legacy = await openLegacyDatabase(url);
  try {
    const target = await openTarget(database, isDryRun);
    try {
      const print = (line: string) => console.error(line);
      const result = await importLegacy({ legacy, target, maxContentBytes: limits.contentBytes, isDryRun, print });
      console.log(formatReport(result, { from: legacy.location, to: target.location, isDryRun }));
    } finally {
      await target.close();
    }
  } finally {
    await legacy.close();
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
