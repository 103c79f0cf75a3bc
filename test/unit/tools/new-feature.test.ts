import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';

const root = resolve(import.meta.dirname, '../../..');
const copied = [
  'src',
  'tools',
  'bench',
  'test',
  'docs',
  'playground',
  'migrations',
  'package.json',
  'tsconfig.json',
  'mikro-orm.config.ts',
];

describe('npm run new:feature', function () {
  this.timeout(120_000);
  let copy: string;
  const run = (...args: string[]) =>
    execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], { cwd: copy, encoding: 'utf8' });
  /** Compiles the new files, and the files that import them or are imported by them. */
  const compile = () => {
    const config = { extends: './tsconfig.json', include: ['src/features', 'test/features/bookmarks.test.ts'] };
    writeFileSync(join(copy, 'new.json'), JSON.stringify(config));
    const words = ['-p', 'new.json', '--pretty', 'false'];
    return spawnSync(join(root, 'node_modules/.bin/tsc'), words, { cwd: copy, encoding: 'utf8' }).stdout;
  };

  before(() => {
    copy = mkdtempSync(join(tmpdir(), 'new-feature-'));
    for (const path of copied) cpSync(join(root, path), join(copy, path), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
    run('tools/new-feature.ts', 'bookmarks');
  });
  after(() => rmSync(copy, { recursive: true, force: true }));

  it('writes a feature that compiles', () => {
    expect(compile()).to.equal('');
  });

  it('registers the route, which OpenAPI and the pages of the protocol then describe', () => {
    const script = `
      import { createRegistry } from './src/core/registry.ts';
      import { features } from './src/features/index.ts';
      import { createOpenapiDocument } from './src/transports/http/documents/openapi.ts';
      const { routes, contracts } = createRegistry(features, {});
      const paths = routes.map(({ route }) => route.method + ' ' + route.path);
      console.log(JSON.stringify({ paths, documented: Object.keys(createOpenapiDocument(contracts).paths) }));`;
    const { paths, documented } = JSON.parse(run('--input-type=module', '--eval', script));
    expect(paths).to.include('GET /rooms/:id/bookmarks');
    expect(documented).to.include('/rooms/{id}/bookmarks');
    for (const page of ['rest.md', 'limits.md', 'features/bookmarks.md']) {
      expect(readFileSync(join(copy, 'docs/protocol', page), 'utf8')).to.include('`GET /rooms/:id/bookmarks`');
    }
  });
});
