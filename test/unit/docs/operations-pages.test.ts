import { existsSync } from 'node:fs';
import { expect } from 'chai';
import { readConfig } from '../../../src/config/config.ts';
import { fileSettings } from '../../../src/config/environment.ts';
import { settings } from '../../../src/config/settings.ts';
import { replaceSettingsTable } from '../../../tools/docs/settings-table.ts';
import { codesIn, markdownIn, readDocument, rowsByName, section } from '../../helpers/markdown.ts';

const folder = 'docs/operations/';
const settingsPage = readDocument(`${folder}settings.md`);

describe('docs/operations/settings.md', () => {
  it('contains the table of settings that `npm run docs:settings` writes from the rows of src/config/settings.ts', () => {
    expect(replaceSettingsTable(settingsPage)).to.equal(settingsPage);
  });

  it('documents each setting in a row with its default and unit', () => {
    const rows = rowsByName(settingsPage);
    expect(rows.get('MAX_FRAME_BYTES')).to.deep.equal([
      'maximum size of a frame, a packet and a REST body; 0: off',
      '`65536`',
      'bytes',
    ]);
    expect([...rows.keys()]).to.include.members(Object.keys(settings));
  });

  it('documents the address that a node without settings listens on', () => {
    expect(settings.HOST.defaultText).to.include(`\`${readConfig({}).host}\`;`);
  });

  it('documents every setting that can be read from a file, and no other', () => {
    const named = codesIn(section(settingsPage, '## Secrets in files')).filter((code) => /^[A-Z_]+_FILE$/.test(code));
    expect(named).to.have.members(fileSettings.map((name) => `${name}_FILE`));
  });
});

describe('docs/operations/README.md', () => {
  it('links to every page of docs/operations/ from its README.md', () => {
    const linked = [...readDocument(`${folder}README.md`).matchAll(/\]\(([a-z-]+\.md)/g)].map(([, page]) => page!);
    const pages = markdownIn(folder).map((path) => path.slice(folder.length));
    expect(linked).to.include.members(pages.filter((page) => page !== 'README.md'));
  });
});

describe('the commands in docs/operations/', () => {
  it('uses only files and scripts that exist in the commands of docs/operations/', () => {
    const { scripts } = JSON.parse(readDocument('package.json')) as { scripts: Record<string, string> };
    const text = markdownIn(folder).map(readDocument).join('\n');
    const run = [...text.matchAll(/`?npm run ([a-z:]+)/g)].map(([, name]) => name!);
    expect(run).to.include.members(['migrate', 'move', 'token', 'test:image', 'bench']);
    expect(run.filter((name) => !(name in scripts))).to.deep.equal([]);
    const built = [...text.matchAll(/node dist\/(src\/\S+)\.js/g)].map(([, path]) => `${path}.ts`);
    const named = [...text.matchAll(/(?<![\w/.])(?:deploy|test)\/[\w./-]+\.\w+/g)].map(([path]) => path);
    expect(built.length).to.be.above(0);
    expect(named.length).to.be.above(10);
    const isMissing = (path: string) => !existsSync(new URL(`../../../${path}`, import.meta.url));
    expect([...built, ...named].filter(isMissing)).to.deep.equal([]);
  });
});
