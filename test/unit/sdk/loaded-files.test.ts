import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { expect } from 'chai';

const root = resolve(import.meta.dirname, '../../..');

/** Prints the URL of every module that is loaded. */
const program = `
import { registerHooks } from 'node:module';
registerHooks({ load: (url, context, next) => (console.log(url), next(url, context)) });
await import(process.argv[1]);
`;

const listLoaded = (file: string): string[] =>
  execFileSync(process.execPath, ['--input-type=module', '--eval', program, join(root, file)], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((url) => url.replace(`file://${root}/`, ''));

describe('nano-messaging/server', () => {
  it('loads only itself, the signing of tokens and jose: no server, database or schemas', () => {
    const loaded = listLoaded('src/sdk/sdk.ts');
    expect(loaded).to.include.members(['src/sdk/sdk.ts', 'src/auth/token-signing.ts', 'node:crypto']);
    const others = loaded.filter((url) => !/^(src\/sdk\/|node_modules\/jose\/|node:(crypto|buffer|util)$)/.test(url));
    expect(others).to.deep.equal(['src/auth/token-signing.ts']);
    expect(listLoaded('src/core/ids.ts').join(), 'the list has what a module loads').to.include('node_modules/zod/');
  });
});
