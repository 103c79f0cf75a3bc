import { readFileSync, writeFileSync } from 'node:fs';
import { replaceSettingsTable } from './settings-table.ts';

/** `npm run docs:settings`: writes the rows of `src/config/settings.ts` into the document. */
const document = new URL('../../docs/operations/settings.md', import.meta.url);

writeFileSync(document, replaceSettingsTable(readFileSync(document, 'utf8')));
