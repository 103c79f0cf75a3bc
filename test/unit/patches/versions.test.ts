import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';

const root = new URL('../../../', import.meta.url);
const folder = new URL('src/patches/', root);
const lock = JSON.parse(readFileSync(new URL('package-lock.json', root), 'utf8')) as {
  packages: Record<string, { version: string }>;
};

interface Header {
  libraries: string[];
  change: string;
  reason: string;
  test: string;
}

/** The comment at the top of a patch. */
function readHeader(text: string): Header {
  const [comment] = /^\/\*\*[\s\S]*?\*\//.exec(text) ?? [''];
  const fields = comment.replaceAll(/\n \* (?=[a-z`])/g, ' ');
  const field = (name: string) => new RegExp(`^ \\* ${name}: (.+)$`, 'm').exec(fields)?.[1] ?? '';
  return {
    libraries: field('Patches').split(', '),
    change: field('Change'),
    reason: field('Reason'),
    test: field('Test'),
  };
}

function installedVersion(library: string): string {
  return `${library}@${lock.packages[`node_modules/${library}`]?.version}`;
}

describe('src/patches/', () => {
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.ts'))) {
    const header = readHeader(readFileSync(new URL(file, folder), 'utf8'));

    it(`${file} names the installed version of what it patches; check the patch when you upgrade it`, () => {
      const installed = header.libraries.map((library) => installedVersion(library.replace(/(?<=.)@.*$/, '')));
      expect(header.libraries).to.deep.equal(installed);
    });

    it(`${file} says what it changes and why, and names the test that fails if the library changes`, () => {
      expect(header.change).to.match(/\w/);
      expect(header.reason).to.match(/\w/);
      expect(existsSync(new URL(header.test, root)), header.test).to.equal(true);
    });
  }

  it('reads the header of a patch over several lines', () => {
    const text = '/**\n * Patches: ws@1.0.0, @x/y@2.0.0\n *\n * Change: replaces\n * `send`.\n * Test: a.ts\n */';
    expect(readHeader(text)).to.deep.equal({
      libraries: ['ws@1.0.0', '@x/y@2.0.0'],
      change: 'replaces `send`.',
      reason: '',
      test: 'a.ts',
    });
  });
});
