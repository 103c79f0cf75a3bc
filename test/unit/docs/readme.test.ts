import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { environment } from '../../../src/config/environment.ts';
import { legacyTables } from '../../../src/legacy-import/legacy-tables.ts';
import { findingParts, findings } from '../../../src/legacy-import/report.ts';
import {
  anchors,
  markdownIn,
  readDocument as read,
  rowsByName as rows,
  section,
  tableRows,
} from '../../helpers/markdown.ts';

const root = new URL('../../../', import.meta.url);
const readme = read('README.md');
const manifest = JSON.parse(read('package.json')) as Record<
  'dependencies' | 'devDependencies' | 'optionalDependencies' | 'scripts',
  Record<string, string>
>;

const shelves = ['docs/guides/', 'docs/protocol/', 'docs/operations/', 'docs/contributing/'];

describe('README.md', () => {
  it('limits README.md to 150 lines', () => {
    expect(readme.split('\n')).to.have.length.at.most(151);
  });

  it('links from README.md to each folder of the documentation and to the table of settings', () => {
    const targets = [...readme.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1]!);
    expect(shelves.filter((shelf) => !targets.some((target) => target.startsWith(shelf)))).to.deep.equal([]);
    expect(targets).to.include('docs/operations/settings.md');
  });

  it('quotes the figures of the benchmarks exactly in README.md', () => {
    const figures = (text: string) =>
      tableRows(text)
        .map((cells) => cells.slice(1).join(' | '))
        .filter((cells) => /\d/.test(cells));
    const shown = figures(section(readme, '## How fast it is'));
    expect(shown).to.have.length.above(3);
    expect(figures(section(read('docs/contributing/benchmarks.md'), '## Results'))).to.include.members(shown);
  });
});

describe('README.md and the guides', () => {
  for (const path of ['README.md', ...markdownIn('docs/guides/'), 'examples/README.md', 'playground/README.md']) {
    it(`names only npm scripts that exist in ${path}`, () => {
      const run = [...read(path).matchAll(/npm (?:run (?:-s )?)?([a-z]+(?::[a-z]+)?)/g)].map((match) => match[1]!);
      const known = [...Object.keys(manifest.scripts), 'ci', 'create', 'exec', 'install', 'pack', 'registry'];
      expect(run.filter((name) => !known.includes(name))).to.deep.equal([]);
    });
  }

  it('lists every guide in docs/guides/README.md', () => {
    const linked = [...read('docs/guides/README.md').matchAll(/\]\(([a-z-]+\.md)\)/g)].map(([, page]) => page!);
    const pages = markdownIn('docs/guides/').map((path) => path.slice('docs/guides/'.length));
    expect(linked).to.have.members(pages.filter((page) => page !== 'README.md'));
  });
});

describe('docs/contributing/dependencies.md', () => {
  const page = read('docs/contributing/dependencies.md');
  const namesIn = (title: string) => {
    const names = [...rows(section(page, title)).keys()].filter((name) => name !== 'package');
    return names.flatMap((cell) => cell.split(', '));
  };
  const tables = [
    ['## In production', [manifest.dependencies, manifest.optionalDependencies].flatMap(Object.keys)],
    ['## In development', Object.keys(manifest.devDependencies)],
  ] as const;

  for (const [title, installed] of tables) {
    it(`gives a reason for every package, and for no other, under "${title}" in dependencies.md`, () => {
      const named = namesIn(title);
      const covers = (name: string, known: string) =>
        name === known || (name.endsWith('/*') && known.startsWith(name.slice(0, -1)));
      expect(installed.filter((known) => !named.some((name) => covers(name, known)))).to.deep.equal([]);
      expect(named.filter((name) => !installed.some((known) => covers(name, known)))).to.deep.equal([]);
    });
  }
});

describe('docs/guides/migrating.md', () => {
  const migrating = read('docs/guides/migrating.md');

  for (const [part, title] of Object.entries(findingParts)) {
    it(`explains every finding of an import under "${title}" in migrating.md`, () => {
      const explained = rows(section(migrating, `### ${title}`));
      explained.delete('it says');
      explained.delete('---');
      const inPart = Object.values(findings).filter(([findingPart]) => findingPart === part);
      expect([...explained.keys()]).to.deep.equal(inPart.map(([, text]) => text));
    });
  }

  it('names every column that an import requires in migrating.md', () => {
    const [, needed] = /requires these columns:([\s\S]*?)If a\s+table/.exec(migrating)!;
    const named = [...needed!.matchAll(/`"?(\w+)"?`/g)].map((match) => match[1]!);
    const columns = Object.values(legacyTables).flatMap((table) =>
      Object.entries<{ kind: string; reason?: string }>(table.columns),
    );
    expect(named).to.deep.equal(columns.filter(([, { reason }]) => reason).map(([name]) => name));
  });
});

describe('README.es.md', () => {
  const spanish = read('README.es.md');

  it('has the same sections, commands, figures and links in README.es.md as in README.md', () => {
    const bare = (text: string) => text.replaceAll(/ *\/\/.*$/gm, '');
    const blocks = (text: string) => [...text.matchAll(/^```\w+\n[\s\S]*?^```$/gm)].map(([block]) => bare(block));
    expect(blocks(spanish)).to.deep.equal(blocks(readme));
    const titles = (text: string) => [...text.matchAll(/^#+ /gm)].length;
    expect(titles(spanish)).to.equal(titles(readme));
    const figures = (text: string) =>
      [...text.matchAll(/\d[\d.,]*/g)].map(([figure]) => figure.replaceAll(/[.,]/g, ''));
    expect(figures(spanish)).to.deep.equal(figures(readme));
    const names = (text: string) => tableRows(text).map(([first]) => /^(`[^`]+`|\[docs)/.exec(first!)?.[0]);
    expect(names(spanish)).to.deep.equal(names(readme));
    const targets = (text: string) => [...text.matchAll(/\]\(((?!README)[^)\s]+)\)/g)].map((match) => match[1]);
    expect(targets(spanish)).to.deep.equal(targets(readme));
  });
});

describe('docs/contributing/architecture.md', () => {
  it('names only files that exist in architecture.md', () => {
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
  /** True for a value that the shell replaces or that the service rejects. */
  const isSafe = (name: string, value: string) => {
    const bare = value.replaceAll(/["']/g, '');
    if (/^[$%]|^…$|^\.\.\.$/.test(bare)) return true;
    if (!(name in environment.shape)) return false;
    return !environment.shape[name as keyof typeof environment.shape].safeParse(bare).success;
  };

  it('shows only secrets that a command generates or that the service rejects', () => {
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
    it(`contains no broken links in ${path}`, () => {
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
