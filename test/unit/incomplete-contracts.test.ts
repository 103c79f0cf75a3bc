import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect } from 'chai';

const fixture = resolve(import.meta.dirname, '../fixtures/incomplete-contracts');
const root = resolve(import.meta.dirname, '../..');

describe('The compiler', () => {
  it('rejects a route, a request, a command and a change kind without a handler, at the line that misses it', function () {
    this.timeout(120_000);
    const source = readFileSync(resolve(fixture, 'incomplete.ts'), 'utf8').split('\n');
    const expected = source.flatMap((line, n) => (line.endsWith('// error') ? [n + 1] : []));
    const { stdout } = spawnSync(resolve(root, 'node_modules/.bin/tsc'), ['-p', fixture, '--pretty', 'false'], {
      cwd: root,
      encoding: 'utf8',
    });
    const errors = stdout.split('\n').filter((line) => /^\S.*error TS/.test(line));
    const outside = errors.filter((line) => !line.startsWith('test/fixtures/incomplete-contracts/'));
    expect(outside).to.deep.equal([]);
    expect(errors.map((line) => Number(/\((\d+),/.exec(line)?.[1]))).to.deep.equal(expected);
  });
});
