import { existsSync } from 'node:fs';
import { expect } from 'chai';
import { load } from 'js-yaml';
import { codesIn, fences, markdownIn, readDocument as read, section, tableRows } from '../../helpers/markdown.ts';

const root = new URL('../../../', import.meta.url);
const manifest = JSON.parse(read('package.json')) as { scripts: Record<string, string>; engines: { node: string } };
// test/unit/docs/readme.test.ts reads the file names of architecture.md.
const documents = ['CONTRIBUTING.md', 'SECURITY.md', ...markdownIn('docs/contributing/')].filter(
  (path) => path !== 'docs/contributing/architecture.md',
);
const paths = /(?<![\w./-])(?:src|test|tools|bench|deploy|migrations|playground|docs)\/[\w./-]*/g;

/** The code of a document: fenced blocks and inline code. */
function codeOf(text: string): string[] {
  const sentences = text.replaceAll(/^```[\s\S]*?^```$/gm, '');
  return [...codesIn(sentences), ...fences(text).map((fence) => fence.text)];
}

describe('the documents for contributors', () => {
  for (const path of documents) {
    const text = read(path);

    it(`names only npm scripts that exist in ${path}`, () => {
      const named = codeOf(text).flatMap((code) =>
        [...code.matchAll(/\bnpm (?:run (?:-s )?)?([a-z]+(?::[a-z]+)?)/g)].map((match) => match[1]!),
      );
      const known = [...Object.keys(manifest.scripts), 'ci', 'exec', 'install', 'pack'];
      expect(named.filter((name) => !known.includes(name))).to.deep.equal([]);
    });

    it(`names only files that exist in ${path}`, () => {
      const named = codeOf(text).flatMap((code) => code.match(paths) ?? []);
      const files = named.map((name) => name.replace(/\.$/, '')).filter((name) => name !== 'bench/results.json');
      expect(files.filter((name) => !existsSync(new URL(name, root)))).to.deep.equal([]);
    });
  }

  it('names at least one file for every kind of change in CONTRIBUTING.md', () => {
    const rows = tableRows(section(read('CONTRIBUTING.md'), '## Where do I change …?')).slice(1);
    expect(rows).to.have.length.above(15);
    for (const [what, where] of rows) expect(where!.match(paths) ?? /^`[\w.]+`/.exec(where!), what).to.not.equal(null);
  });
});

describe('the workflow of GitHub Actions', () => {
  const workflow = load(read('.github/workflows/ci.yml')) as {
    jobs: { test: { strategy: { matrix: { node: string[] } }; steps: { run?: string }[] } };
  };
  const { strategy, steps } = workflow.jobs.test;

  it('runs the same commands in GitHub Actions as .ci/run', () => {
    const commands = [...read('.ci/run').matchAll(/^npm (?:ci|test|run [\w:-]+)/gm)].map(([command]) => command);
    expect(commands).to.have.members(['npm ci', 'npm run check', 'npm test']);
    const run = steps.map((step) => step.run).filter((command) => command?.startsWith('npm '));
    expect(run).to.deep.equal(commands);
  });

  it('tests the oldest Node.js version that package.json allows, and the version of .nvmrc', () => {
    expect(strategy.matrix.node).to.deep.equal([manifest.engines.node.replace('>=', ''), read('.nvmrc').trim()]);
  });
});

describe('the decision records', () => {
  const folder = 'docs/contributing/adr/';
  const records = markdownIn(folder).filter((path) => path !== `${folder}README.md`);

  it('lists all decision records in order, with their numbers', () => {
    const listed = [...read(`${folder}README.md`).matchAll(/^\| \[(\d+)\. .*?\]\((\d{4}-[\w-]+\.md)\)/gm)];
    expect(listed.map(([, , file]) => `${folder}${file}`)).to.deep.equal(records);
    for (const [, number, file] of listed) expect(Number(file!.slice(0, 4)), file).to.equal(Number(number));
  });

  for (const path of records) {
    it(`divides ${path} into context, decision and consequences`, () => {
      const headings = [...read(path).matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);
      expect(headings).to.deep.equal(['Context', 'Decision', 'Consequences']);
    });
  }
});

describe('CHANGELOG.md', () => {
  const kinds = ['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'];
  const [, ...versions] = read('CHANGELOG.md').split(/^## /m);

  it('starts the changelog with unreleased changes', () => {
    expect(versions[0]!.split('\n', 1)[0]).to.equal('Unreleased');
  });

  for (const version of versions) {
    const [title, ...lines] = version.trimEnd().split('\n');

    it(`uses the headings of Keep a Changelog in ${title}, each once and in order`, () => {
      const used = lines.filter((line) => line.startsWith('#'));
      expect(used).to.deep.equal(kinds.map((kind) => `### ${kind}`).filter((heading) => used.includes(heading)));
    });

    it(`has one list below each heading of ${title} in the changelog, with one line per entry and no duplicates`, () => {
      const lists = lines
        .join('\n')
        .trim()
        .split(/^### .*$/m)
        .slice(1);
      for (const list of lists)
        expect(
          list
            .trim()
            .split('\n')
            .filter((line) => !line.startsWith('- ')),
        ).to.deep.equal([]);
      const entries = lines.filter((line) => line.startsWith('- '));
      expect(entries).to.have.members([...new Set(entries)]);
    });
  }
});
