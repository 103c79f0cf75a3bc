import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { closeAfterRun, closeLater } from '../helpers/cleanup.ts';
import { migratedDirectory } from '../helpers/embedded-template.ts';

const run = promisify(execFile);
const checkout = resolve(import.meta.dirname, '../..');
const home = mkdtempSync(join(tmpdir(), 'nano-package-'));
const project = join(home, 'project');
/** Without the Node.js of this checkout: what a project's scripts find is what the package has brought them. */
const env = { HOME: process.env.HOME, PATH: `${join(project, 'node_modules/.bin')}:/usr/local/bin:/usr/bin:/bin` };
const npm = (...args: string[]) =>
  run('npm', [...args, '--no-audit', '--no-fund', '--loglevel', 'error'], { cwd: project });

const embedding = `
import express from 'express';
import { createServer } from 'nano-messaging';

const app = express().get('/', (_, response) => response.send('the app'));
const server = app.listen(0, '127.0.0.1');
const chat = await createServer({ server, prefix: '/messaging', settings: { DATA_DIR: process.env.DATA_DIR } });
console.log(chat.url);
`;

const backend = `
import { createAdminClient, signToken, userUuid } from 'nano-messaging/server';

const userUUID = userUuid('0b0a5d3e-7d0f-4a53-9a1c-2f1a6a3c9d11', 42);
const token = await signToken({ userUUID }, 'a secret');
const admin = createAdminClient({ url: 'http://127.0.0.1:1', token: 'the admin token', retries: 0 });
console.log(token, await admin.revocations.list().catch(({ code }) => code));
`;

/** In TypeScript, with everything strict and the declarations of the package checked as well. */
const typed = `
import { type ChatServer, createServer } from 'nano-messaging';
import { type Client, connect, type Message } from 'nano-messaging-client';
import { type AdminClient, createAdminClient, signToken, verifyWebhook } from 'nano-messaging/server';

export const server: Promise<ChatServer> = createServer({ settings: { PORT: 0, JWT_SECRET: 's' } });
export const client: Client = connect({ url: 'https://chat.example', token: async () => 'jwt' });
const room = client.room(1);
room.on('message', (message: Message) => console.log(message.seq, message.content.length));
room.on('member', ({ permissions, level }) => console.log(permissions?.length, level.toFixed()));
export const sent: Promise<Message> = room.send('Hello').confirmed;
export const admin: AdminClient = createAdminClient({ url: 'https://chat.example', token: 'the admin token' });
export const jtis: Promise<(string | null)[]> = admin.revocations.list({ limit: 5 }).then(({ content }) =>
  content.map(({ jti }) => jti),
);
export const jwt: Promise<string> = signToken({ userUUID: 'aaaaaaaa-0000-4000-8000-000000000001' }, 'a secret');
export const payload = verifyWebhook(new Headers(), '', 'whsec_');
// @ts-expect-error there is no such field
admin.revocations.list({ limits: 5 });
// @ts-expect-error there is no such event
room.on('massage', () => {});
// @ts-expect-error there is no such setting
createServer({ settings: { PROT: 1 } });
`;

const compilerOptions = {
  ...{ module: 'nodenext', target: 'es2024', strict: true, noEmit: true, skipLibCheck: false },
  ...{ exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, types: ['node'] },
};

/** The first line it writes, once it has one; it is ended with the test. */
function firstLine(command: string, args: string[], fits: RegExp): Promise<string> {
  const child = spawn(command, args, { cwd: project, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const gone = new Promise((resolve) => child.once('close', resolve));
  closeLater(() => {
    if (child.exitCode === null) process.kill(-child.pid!, 'SIGKILL');
    return gone;
  });
  return new Promise((resolve, reject) => {
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text) => {
        output += text;
        const found = fits.exec(output);
        if (found) resolve(found[1]!);
      });
    }
    child.once('close', (code) => reject(new Error(`${command} ended with ${code}: ${output}`)));
  });
}

/** Where the page has its tokens from; all that it is made of is there, compiled. */
async function playgroundAt(url: string): Promise<string | undefined> {
  const page = await (await fetch(`${url}/`)).text();
  const parts = ['main.js', 'views/app.js', 'client/client.js', 'style.css', 'icon.svg', 'vendor/lit/index.js'];
  for (const path of parts) expect((await fetch(`${url}/playground/${path}`)).status, path).to.equal(200);
  expect(await (await fetch(`${url}/playground/main.js`)).text()).to.include("from './app.js'");
  return /<meta name="tokens" content="(.+?)">/.exec(page)?.[1];
}

describe('The package, packed and installed into an empty project', function () {
  this.timeout(240_000);

  before(async () => {
    closeAfterRun(() => rmSync(home, { recursive: true, force: true }));
    await run('npm', ['pack', '--pack-destination', home, '--loglevel', 'error'], { cwd: checkout });
    const archive = readdirSync(home).find((name) => name.endsWith('.tgz'))!;
    await run('mkdir', [project]);
    writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'empty', private: true, type: 'module' }));
    await npm('install', '--prefer-offline', join(home, archive));
  });

  it('holds no tests, no sources of TypeScript, and what its files link to', async () => {
    const installed = join(project, 'node_modules/nano-messaging');
    const files = readdirSync(installed, { recursive: true, encoding: 'utf8' });
    expect(files.filter((file) => /\.test\.|\.map$|mocha|^(?!dist).*\.env/.test(file))).to.deep.equal([]);
    expect(files).to.include.members(['dist/src/bin/cli.js', 'dist/src/index.d.ts', 'README.md', 'LICENSE']);
    const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
    for (const name of ['.', './client', './client/inbox', './server']) {
      const { types, default: code } = manifest.exports[name];
      expect(files).to.include.members([types.slice(2), code.slice(2)]);
    }
  });

  it('signs tokens in a backend that imports nano-messaging/server', async () => {
    writeFileSync(join(project, 'backend.js'), backend);
    const { stdout } = await run('node', ['backend.js'], { cwd: project, env });
    expect(stdout).to.match(/^\S+\.\S+\.\S+ UNREACHABLE\n$/);
  });

  it('starts with npx, migrates itself and takes the tokens it makes', async () => {
    const DATA_DIR = await migratedDirectory();
    const start = ['nano-messaging', 'start'];
    const url = await firstLine('env', ['PORT=0', `DATA_DIR=${DATA_DIR}`, 'npx', ...start], /"url":"(http:[^"]+)"/);
    const { stdout: token } = await run('npx', ['nano-messaging', 'token', '--level', '100'], {
      ...{ cwd: project, env: { ...env, DATA_DIR } },
    });
    const headers = { Authorization: `Bearer ${token.trim()}`, 'Content-Type': 'application/json' };
    const made = await fetch(`${url}/rooms`, { method: 'POST', headers, body: '{"name":"packed"}' });
    expect([made.status, ((await made.json()) as { content: { room: object } }).content.room]).to.deep.include(200);
    expect((await fetch(`${url}/readyz`)).status).to.equal(200);
    expect(await playgroundAt(url)).to.equal('made here');
  });

  it('is embedded in an Express app of three lines', async () => {
    writeFileSync(join(project, 'embedding.js'), embedding);
    const url = await firstLine(
      'env',
      [`DATA_DIR=${await migratedDirectory()}`, 'node', 'embedding.js'],
      /^(http:\S+)$/m,
    );
    expect(await (await fetch(new URL('/', url))).text()).to.equal('the app');
    expect((await fetch(`${url}/readyz`)).status).to.equal(200);
    expect((await fetch(`${url}/rooms`)).status).to.equal(401);
    // The port is the app's, which may have a proxy before it.
    expect(await playgroundAt(url)).to.equal('pasted');
    const own = { Origin: new URL(url).origin, 'Content-Type': 'application/json' };
    const asked = { method: 'POST', headers: own, body: '{"userUUID":"aaaaaaaa-0000-4000-8000-000000000001"}' };
    expect((await fetch(`${url}/playground/token`, asked)).status).to.equal(404);
  });

  it('type-checks there, the client as well', async () => {
    writeFileSync(join(project, 'typed.ts'), typed);
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['typed.ts'] }));
    const { stdout } = await run(join(checkout, 'node_modules/.bin/tsc'), ['-p', project]).catch((failed) => failed);
    expect(stdout).to.equal('');
  });

  it('says what its command can do', async () => {
    const command = join(project, 'node_modules/.bin/nano-messaging');
    const help = await run(command, ['--help'], { cwd: project, env });
    for (const name of ['start', 'migrate', 'token', 'import', 'move', 'webhook', 'torture'])
      expect(help.stdout).to.match(new RegExp(`^  ${name} `, 'm'));
    const torture = await run(command, ['torture', '--help'], { cwd: project, env });
    expect(torture.stdout).to.include('--seconds');
    const wrong = await run(command, ['strat'], { cwd: project, env }).catch((failed) => failed);
    expect([wrong.code, wrong.stderr]).to.satisfy(
      ([code, said]: [number, string]) => code === 2 && /Unknown command: strat/.test(said),
    );
  });
});
