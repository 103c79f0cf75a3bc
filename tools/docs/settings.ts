import { readFileSync, writeFileSync } from 'node:fs';
import { readCommandLine } from '../command-line.ts';
import { replaceSettingsTable } from './settings-table.ts';

const usage = `npm run docs:settings: writes the settings of src/config/settings.ts into the table of docs/operations/settings.md

  --help`;

readCommandLine(usage, {}, () => {
  const document = new URL('../../docs/operations/settings.md', import.meta.url);
  writeFileSync(document, replaceSettingsTable(readFileSync(document, 'utf8')));
});
