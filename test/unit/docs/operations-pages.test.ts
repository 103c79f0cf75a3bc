import { existsSync } from 'node:fs';
import { expect } from 'chai';
import { environment, readConfig } from '../../../src/config/config.ts';
import { fileSettings } from '../../../src/config/setting-files.ts';
import { codesIn, markdownIn, readDocument, rowsByName, section } from '../../helpers/markdown.ts';

const folder = 'docs/operations/';
const settingsPage = readDocument(`${folder}settings.md`);

describe('docs/operations/settings.md', () => {
  const [, table = ''] = /<!-- settings:start -->\n([\s\S]*)<!-- settings:end -->/.exec(settingsPage) ?? [];
  const rows = rowsByName(table);

  for (const [name, schema] of Object.entries(environment.shape)) {
    it(`has a row for ${name} with its default, and says if 0 turns it off`, () => {
      const [meaning, fallback] = rows.get(name) ?? [];
      const value = (environment.parse({}) as Record<string, unknown>)[name];
      const shown = fallback?.replaceAll('`', '');
      if (name === 'HOST') expect(shown).to.include(readConfig({}).host);
      else expect(shown).to.equal(value === undefined ? 'not set' : String(value));
      expect(meaning!.includes('0: off')).to.equal(schema.description !== undefined);
    });
  }

  it('has a row for each setting and for nothing else', () => {
    expect([...rows.keys()]).to.deep.equal(['variable', ...Object.keys(environment.shape)]);
  });

  it('names every setting that can be read from a file, and no other', () => {
    const named = codesIn(section(settingsPage, '## Secrets in files')).filter((code) => /^[A-Z_]+_FILE$/.test(code));
    expect(named).to.have.members(fileSettings.map((name) => `${name}_FILE`));
  });
});

describe('docs/operations/README.md', () => {
  it('links to every page of the shelf', () => {
    const linked = [...readDocument(`${folder}README.md`).matchAll(/\]\(([a-z-]+\.md)/g)].map(([, page]) => page!);
    const pages = markdownIn(folder).map((path) => path.slice(folder.length));
    expect(linked).to.include.members(pages.filter((page) => page !== 'README.md'));
  });
});

describe('the commands in docs/operations/', () => {
  it('run files and scripts that exist', () => {
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
