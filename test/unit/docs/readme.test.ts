import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { environment, readConfig } from '../../../src/config/config.ts';
import { legacyTables } from '../../../src/legacy-import/legacy-tables.ts';
import { findingParts, findings } from '../../../src/legacy-import/report.ts';
import { anchors, markdownIn, readDocument as read, rowsByName as rows, section } from '../../helpers/markdown.ts';

const root = new URL('../../../', import.meta.url);
const readme = read('README.md');
const manifest = JSON.parse(read('package.json')) as Record<
  'dependencies' | 'devDependencies' | 'optionalDependencies' | 'scripts',
  Record<string, string>
>;

describe('the README', () => {
  const settings = rows(section(readme, '## Settings'));

  for (const [name, schema] of Object.entries(environment.shape)) {
    it(`has a true row for ${name}`, () => {
      const [what, fallback] = settings.get(name) ?? [];
      const given = (environment.parse({}) as Record<string, unknown>)[name];
      const shown = fallback?.replaceAll(/[`,]/g, '');
      if (name === 'HOST') expect(shown).to.include(readConfig({}).host);
      else expect(shown).to.equal(given === undefined ? 'not set' : String(given));
      if (schema.description) expect(what).to.include('0: off');
    });
  }

  it('has no settings that there are not', () => {
    const names = [...settings.keys()].filter((name) => /^[A-Z_]+$/.test(name));
    expect(names).to.have.members(Object.keys(environment.shape));
  });

  it('gives a reason for every dependency', () => {
    const reasons = rows(section(readme, '## Dependencies'));
    const named = [...reasons.keys()].flatMap((names) => names.split(', '));
    const all = [manifest.dependencies, manifest.optionalDependencies, manifest.devDependencies].flatMap(Object.keys);
    const isNamed = (name: string) => named.includes(name) || named.includes(name.replace(/\/.*/, '/*'));
    expect(all.filter((name) => !isNamed(name))).to.deep.equal([]);
    expect(named.filter((name) => name !== 'package' && !name.startsWith('-') && !isKnown(name))).to.deep.equal([]);
    function isKnown(name: string): boolean {
      return all.some((known) => known === name || (name.endsWith('/*') && known.startsWith(name.slice(0, -1))));
    }
  });

  it('runs scripts that there are', () => {
    const run = [...readme.matchAll(/npm (?:run (?:-s )?)?([a-z:]+)/g)].map((match) => match[1]!);
    const known = [...Object.keys(manifest.scripts), 'ci', 'exec', 'install', 'pack'];
    expect(run.filter((name) => !known.includes(name))).to.deep.equal([]);
  });
});

describe('docs/guides/migrating.md', () => {
  const migrating = read('docs/guides/migrating.md');

  for (const [part, title] of Object.entries(findingParts)) {
    it(`explains what an import says under "${title}", in its words`, () => {
      const explained = rows(section(migrating, `### ${title}`));
      explained.delete('it says');
      explained.delete('---');
      const said = Object.values(findings).filter(([of]) => of === part);
      expect([...explained.keys()]).to.deep.equal(said.map(([, words]) => words));
    });
  }

  it('names the columns without which nothing is taken over', () => {
    const [, needed] = /Needed are([\s\S]*?)What is missing/.exec(migrating)!;
    const named = [...needed!.matchAll(/`"?(\w+)"?`/g)].map((match) => match[1]!);
    const columns = Object.values(legacyTables).flatMap((table) =>
      Object.entries<{ kind: string; why?: string }>(table.columns),
    );
    expect(named).to.deep.equal(columns.filter(([, { why }]) => why).map(([name]) => name));
  });
});

describe('README.es.md', () => {
  const spanish = read('README.es.md');

  it('has the settings of README.md, with the same defaults', () => {
    const inSpanish = (text = '') => text.replace('not set', 'sin definir').replace(' with ', ' con ');
    const defaults = (text: string, title: string) =>
      [...rows(section(text, title))].map(([name, [, fallback]]) => [name, inSpanish(fallback)]);
    expect(defaults(spanish, '## Ajustes').slice(1)).to.deep.equal(defaults(readme, '## Settings').slice(1));
  });

  it('has the same parts, commands, figures and links', () => {
    const bare = (text: string) => text.replaceAll(/ *\/\/.*$/gm, '');
    const blocks = (text: string) => [...text.matchAll(/^```\w+\n[\s\S]*?^```$/gm)].map(([block]) => bare(block));
    expect(blocks(spanish)).to.deep.equal(blocks(readme));
    const titles = (text: string) => [...text.matchAll(/^#+ /gm)].length;
    expect(titles(spanish)).to.equal(titles(readme));
    const figures = (text: string, title: string) =>
      [...section(text, title).matchAll(/\| ([\d.,]+)/g)].map(([, figure]) => figure!.replaceAll(/[.,]/g, ''));
    expect(figures(spanish, '## Qué rapidez tiene')).to.deep.equal(figures(readme, '## How fast'));
    const targets = (text: string) => [...text.matchAll(/\]\(((?!README)[^)\s]+)\)/g)].map((match) => match[1]);
    expect(targets(spanish)).to.deep.equal(targets(readme));
  });
});

describe('docs/contributing/architecture.md', () => {
  it('names the files that there are', () => {
    const files = readdirSync(new URL('src/', root), { recursive: true, encoding: 'utf8' });
    const named = [...read('docs/contributing/architecture.md').matchAll(/(?<![*\w.-])[\w./-]+\.ts\b/g)].map(
      ([name]) => name,
    );
    const exists = (name: string) =>
      files.some((file) => file === name || file.endsWith(`/${name}`)) || existsSync(new URL(name, root));
    expect(named).to.have.length.above(50);
    expect(named.filter((name) => !exists(name))).to.deep.equal([]);
  });
});

describe('secrets in the documents', () => {
  const folders = [
    '',
    'docs/',
    'docs/contributing/',
    'docs/guides/',
    'docs/operations/',
    'docs/protocol/',
    'deploy/',
    'examples/',
    'examples/backend/',
    'playground/',
  ];
  const documents = folders.flatMap((folder) =>
    readdirSync(new URL(folder, root), { withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.(md|ya?ml|sh|js|py|conf|cfg|service|env)$|^Dockerfile$/.test(entry.name))
      .map(({ name }) => `${folder}${name}`),
  );
  const assigned =
    /\b(JWT_SECRET|ADMIN_TOKEN|METRICS_TOKEN|POSTGRES_PASSWORD|REDIS_PASSWORD)=("[^"]*"|'[^']*'|[^\s`]+)/g;
  /** What a shell puts in its place, or what no service accepts. */
  const isSafe = (name: string, value: string) => {
    const bare = value.replaceAll(/["']/g, '');
    if (/^[$%]|^…$|^\.\.\.$/.test(bare)) return true;
    if (!(name in environment.shape)) return false;
    return !environment.shape[name as keyof typeof environment.shape].safeParse(bare).success;
  };

  it('are made by a command, or refused by the service', () => {
    const found = documents.flatMap((path) =>
      [...read(path).matchAll(assigned)].map(([, name, value]) => ({ path, name: name!, value: value! })),
    );
    expect(found).to.have.length.above(3);
    expect(found.filter(({ name, value }) => !isSafe(name, value))).to.deep.equal([]);
  });
});

describe('links of the documents', () => {
  const documents = [
    'README.md',
    'README.es.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'examples/README.md',
    'playground/README.md',
    ...markdownIn('docs/'),
  ];
  for (const path of documents) {
    it(`of ${path} lead somewhere`, () => {
      const here = new URL(path, root);
      const links = [...read(path).matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1]!);
      const broken = links.filter((link) => {
        if (/^https?:/.test(link)) return false;
        const [file, anchor] = link.split('#') as [string, string?];
        const target = file === '' ? here : new URL(file, here);
        if (!existsSync(target)) return true;
        return anchor !== undefined && !anchors(readFileSync(target, 'utf8')).has(anchor);
      });
      expect(broken).to.deep.equal([]);
    });
  }
});
