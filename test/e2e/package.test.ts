import { execFile, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import ts from '@tsd/typescript';
import { expect } from 'chai';
import { hasChromium } from '../helpers/chromium.ts';
import { closeAfterRun, closeLater } from '../helpers/cleanup.ts';
import { migratedDirectory } from '../helpers/embedded-template.ts';
import { freePort } from '../helpers/free-port.ts';
import { chatInReact } from '../helpers/react-chat.ts';
import { tcpProxy } from '../helpers/tcp-proxy.ts';
import { adminToken, createUser, sign } from '../helpers/users.ts';

const run = promisify(execFile);
const checkout = resolve(import.meta.dirname, '../..');
const home = mkdtempSync(join(tmpdir(), 'nano-package-'));
const project = join(home, 'project');
/** A copy of examples/react, in the project that has its dependencies. */
const app = join(project, 'chat');
/** What the scripts of a project find. The packages bring no Node.js, so it is that of the tests. */
const path = [join(project, 'node_modules/.bin'), dirname(process.execPath), '/usr/local/bin', '/usr/bin', '/bin'];
const env = { HOME: process.env.HOME, PATH: path.join(':') };
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
let archiveBytes: Record<string, number>;

/** In TypeScript, with everything strict and the declarations of the package checked as well. */
const typedClient = `
import { type Client, connect, type Message } from 'nano-messaging-client';
import { inbox } from 'nano-messaging-client/inbox';
import { ChatProvider, useRoom } from 'nano-messaging-client/react';
import { createRestClient, type Paths, type RestClient } from 'nano-messaging-client/rest';
import { indexedDb, offline } from 'nano-messaging-client/storage';

const user = 'aaaaaaaa-0000-4000-8000-000000000001';
const storage = offline(indexedDb('chat'), { maxSize: 1_000_000 });
export const client: Client = connect({ url: 'https://chat.example', token: async () => 'jwt', user, storage });
export const useName = (): string | undefined => useRoom(1, ({ info }) => info?.name);
export const provide = () => ChatProvider({ client });
// @ts-expect-error it has neither options nor a client
ChatProvider({});
const room = client.room(1);
room.on('message', (message: Message) => console.log(message.seq, message.content.length));
room.on('member', ({ permissions, level }) => console.log(permissions?.length, level.toFixed()));
console.log(inbox(client).rooms[0]?.last_message?.content.length);
export const sent: Promise<Message> = room.send('Hello').confirmed;
// @ts-expect-error there is no such event
room.on('massage', () => {});

export const api: RestClient = createRestClient({ url: 'https://chat.example', token: () => 'jwt' });
export async function useRest(): Promise<string> {
  const { data, error } = await api.POST('/rooms', { body: { name: 'Launch', type: 'group' } });
  if (error) return error.meta.reason;
  const { id, name } = data.content.room;
  const path = { id };
  const page = await api.GET('/rooms/{id}/messages', { params: { path, query: { limit: 50, before: 7 } } });
  const seqs: number[] = page.data?.content.map(({ seq }) => seq) ?? [];
  await api.PATCH('/rooms/{id}/messages/{seq}', { params: { path: { id, seq: 1 } }, body: { content: 'better' } });
  await api.PUT('/rooms/{id}/members', { params: { path }, body: { userUUID: 'a', permissions: 'rw' } });
  // @ts-expect-error there is no such route
  await api.GET('/room');
  // @ts-expect-error the name of a room is missing
  await api.POST('/rooms', { body: { type: 'group' } });
  // @ts-expect-error the name of a room is text
  await api.PATCH('/rooms/{id}', { params: { path }, body: { name: 7 } });
  // @ts-expect-error the room is missing
  await api.DELETE('/rooms/{id}', {});
  // @ts-expect-error there is no such parameter
  await api.GET('/rooms', { params: { query: { limits: 5 } } });
  return name + seqs.join();
}
export type Method = keyof Paths['/rooms'];
`;
const typedServer = `
import { type ChatServer, createServer } from 'nano-messaging';
import { type AdminClient, createAdminClient, signToken, verifyWebhook } from 'nano-messaging/server';

export const server: Promise<ChatServer> = createServer({ settings: { PORT: 0, JWT_SECRET: 's' } });
export const admin: AdminClient = createAdminClient({ url: 'https://chat.example', token: 'the admin token' });
export const jtis: Promise<(string | null)[]> = admin.revocations.list({ limit: 5 }).then(({ content }) =>
  content.map(({ jti }) => jti),
);
export const room: Promise<number> = admin.rooms
  .put('key:order-42', { name: 'Order 42', rules: [] })
  .then(({ content }) => content.room.id);
admin.messages.send(7, { messages: [{ content: 'Hello', custom: { event: 'sent' } }] });
export const jwt: Promise<string> = signToken({ userUUID: 'aaaaaaaa-0000-4000-8000-000000000001' }, 'a secret');
export const payload = verifyWebhook(new Headers(), '', 'whsec_');
for (const change of payload.data.changes) if (change.name === 'message:new') console.log(change.payload.content);
// @ts-expect-error a key begins with key:
admin.rooms.put(7, { name: 'Order 42' });
// @ts-expect-error there is no such field
admin.revocations.list({ limits: 5 });
// @ts-expect-error there is no such setting
createServer({ settings: { PROT: 1 } });
`;

const compilerOptions = {
  ...{ module: 'nodenext', target: 'es2024', strict: true, noEmit: true, skipLibCheck: false },
  ...{ exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, types: ['node'] },
};

/** The first line it writes, once it has one; it is ended with the test, or by `close`. */
function firstLine(command: string, args: string[], fits: RegExp, close = closeLater): Promise<string> {
  const child = spawn(command, args, { cwd: project, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const gone = new Promise((resolve) => child.once('close', resolve));
  close(() => {
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

/** What a project with React and Vite has. Linked, so that the tests need no registry for it. */
const reactTools = [
  ...['react', 'react-dom', 'vite', '@vitejs/plugin-react', 'typescript'],
  ...['@types/react', '@types/react-dom'],
];

/** Type-checks with TypeScript 5.4, the oldest version that the declarations of the client support. */
function checkWithOldTypeScript(files: string[], options: ts.CompilerOptions): string {
  const program = ts.createProgram(files, {
    ...{ ...options, noEmit: true, strict: true },
    // All declarations but those that TypeScript itself brings.
    ...{ skipLibCheck: false, skipDefaultLibCheck: true },
  });
  const host = {
    getCanonicalFileName: (file: string) => file,
    getCurrentDirectory: () => project,
    getNewLine: () => '\n',
  };
  return ts.formatDiagnostics(ts.getPreEmitDiagnostics(program), host);
}

/** A CommonJS program that prints the state of its connection once it is connected. */
const commonjs = `
const { connect, ChatClientError } = require('nano-messaging-client');
const { inbox } = require('nano-messaging-client/inbox');
const { memory, offline } = require('nano-messaging-client/storage');
const { createRestClient } = require('nano-messaging-client/rest');

const client = connect({ url: process.env.CHAT_URL, token: async () => process.env.TOKEN });
client.on('state', (state) => {
  if (state !== 'connected') return;
  const rooms = inbox(client);
  rooms.on('change', async () => {
    if (rooms.state !== 'open') return;
    client.close();
    const api = createRestClient({ url: process.env.CHAT_URL, token: async () => process.env.TOKEN });
    const { data } = await api.GET('/rooms');
    console.log(state, rooms.rooms.length, new ChatClientError('UNAVAILABLE', '') instanceof Error, data.content, typeof offline(memory()));
  });
});
`;

const listFiles = (name: string) =>
  readdirSync(join(project, 'node_modules', name), { recursive: true, encoding: 'utf8' });

describe('The packages, packed and installed into an empty project', function () {
  this.timeout(240_000);

  before(async () => {
    closeAfterRun(() => rmSync(home, { recursive: true, force: true }));
    const packed = join(checkout, 'dist/packages');
    await run('npm', ['run', 'packages'], { cwd: checkout });
    const archives = readdirSync(packed).filter((name) => name.endsWith('.tgz'));
    archiveBytes = Object.fromEntries(archives.map((name) => [name, statSync(join(packed, name)).size]));
    await run('mkdir', [project]);
    writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'empty', private: true, type: 'module' }));
    await npm('install', '--prefer-offline', ...archives.map((name) => join(packed, name)));
    for (const name of reactTools) {
      mkdirSync(dirname(join(project, 'node_modules', name)), { recursive: true });
      symlinkSync(join(checkout, 'node_modules', name), join(project, 'node_modules', name));
    }
    cpSync(join(checkout, 'examples/react'), app, { recursive: true });
  });

  it('contain no tests, no TypeScript sources, and what their files link to', async () => {
    const files = listFiles('nano-messaging');
    const client = listFiles('nano-messaging-client');
    const unwanted = [...files, ...client].filter((file) => /\.test\.|\.map$|mocha|^(?!dist).*\.env/.test(file));
    expect(unwanted).to.deep.equal([]);
    expect(client.filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))).to.deep.equal([]);
    for (const format of ['esm', 'cjs']) {
      const hooks = readFileSync(join(project, 'node_modules/nano-messaging-client/dist', format, 'react.js'), 'utf8');
      expect(hooks).to.match(/^"use client";\n/);
    }
    expect(files).to.include.members(['dist/src/bin/cli.js', 'dist/src/index.d.ts', 'README.md', 'LICENSE']);
    for (const [name, found] of Object.entries({ 'nano-messaging': files, 'nano-messaging-client': client })) {
      const manifest = JSON.parse(readFileSync(join(project, 'node_modules', name, 'package.json'), 'utf8'));
      const named = JSON.stringify([manifest.exports, manifest.bin, manifest.main, manifest.unpkg]).match(
        /dist[^"]+/g,
      )!;
      expect(found, name).to.include.members(named);
    }
  });

  it('bring no Node.js and no install scripts, and the client is small', async () => {
    const lock = JSON.parse(readFileSync(join(project, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { hasInstallScript?: boolean; bin?: Record<string, string> }>;
    };
    const installed = Object.entries(lock.packages);
    expect(installed.filter(([, { hasInstallScript }]) => hasInstallScript).map(([name]) => name)).to.deep.equal([]);
    expect(existsSync(join(project, 'node_modules/.bin/node'))).to.equal(false);
    expect(installed.map(([name]) => name)).not.to.include('node_modules/swagger-ui-dist');
    const name = Object.keys(archiveBytes).find((name) => name.startsWith('nano-messaging-client'))!;
    expect(archiveBytes[name]).to.be.within(10_000, 150_000);
  });

  it('signs tokens in a backend that imports nano-messaging/server', async () => {
    writeFileSync(join(project, 'backend.js'), backend);
    const { stdout } = await run('node', ['backend.js'], { cwd: project, env });
    expect(stdout).to.match(/^\S+\.\S+\.\S+ UNREACHABLE\n$/);
  });

  describe('and started with npx', () => {
    const DATA_DIR = join(home, 'data');
    const closes: (() => unknown)[] = [];
    let url: string;

    before(async () => {
      cpSync(await migratedDirectory(), DATA_DIR, { recursive: true });
      const start = ['PORT=0', `DATA_DIR=${DATA_DIR}`, 'npx', 'nano-messaging', 'start'];
      url = await firstLine('env', start, /"url":"(http:[^"]+)"/, (close) => closes.push(close));
    });
    after(() => Promise.all(closes.map((close) => close())));

    it('take the tokens they make, and serve the playground', async () => {
      const { stdout: token } = await run('npx', ['nano-messaging', 'token', '--level', '100'], {
        ...{ cwd: project, env: { ...env, DATA_DIR } },
      });
      const headers = { Authorization: `Bearer ${token.trim()}`, 'Content-Type': 'application/json' };
      const made = await fetch(`${url}/rooms`, { method: 'POST', headers, body: '{"name":"packed"}' });
      expect([made.status, ((await made.json()) as { content: { room: object } }).content.room]).to.deep.include(200);
      expect((await fetch(`${url}/readyz`)).status).to.equal(200);
      expect(await playgroundAt(url)).to.equal('made here');
    });

    it('connect from a CommonJS program', async () => {
      writeFileSync(join(project, 'program.cjs'), commonjs);
      const secret = readFileSync(join(DATA_DIR, 'jwt-secret'), 'utf8').trim();
      const TOKEN = sign(createUser().claims, { secret });
      const { stdout } = await run('node', ['program.cjs'], {
        ...{ cwd: project, env: { ...env, CHAT_URL: url, TOKEN } },
      });
      expect(stdout).to.equal('connected 0 true [] function\n');
    });
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

  it('type-check there, and the client also in CommonJS and with TypeScript 5.4', async () => {
    writeFileSync(join(project, 'server.ts'), typedServer);
    for (const file of ['client.mts', 'client.cts']) writeFileSync(join(project, file), typedClient);
    const check = async (compiler: string, files: string[], options = compilerOptions) => {
      const config = { compilerOptions: options, files };
      writeFileSync(join(project, 'tsconfig.json'), JSON.stringify(config));
      const { stdout } = await run(process.execPath, [compiler, '-p', project]).catch((failed) => failed);
      expect(stdout, files.join()).to.equal('');
    };
    const newest = join(checkout, 'node_modules/typescript/bin/tsc');
    await check(newest, ['server.ts', 'client.mts', 'client.cts']);
    const old = { module: ts.ModuleKind.NodeNext, target: ts.ScriptTarget.ES2022, exactOptionalPropertyTypes: true };
    const files = ['client.mts', 'client.cts'].map((file) => join(project, file));
    const lib = ['lib.es2022.d.ts', 'lib.dom.d.ts'];
    expect(checkWithOldTypeScript(files, { ...old, lib, types: [] })).to.equal('');
  });

  describe('with examples/react, which has at most 200 lines of code', () => {
    const sources = readdirSync(join(checkout, 'examples/react/src')).filter((name) => /\.tsx?$/.test(name));

    it('type-check there, also with TypeScript 5.4', async () => {
      const lines = sources.flatMap((name) =>
        readFileSync(join(app, 'src', name), 'utf8')
          .trimEnd()
          .split('\n'),
      );
      expect(lines).to.have.length.within(100, 200);
      const tsc = join(project, 'node_modules/typescript/bin/tsc');
      const { stdout } = await run('node', [tsc, '-p', app, '--skipLibCheck', 'false'], { env }).catch(
        (failed) => failed,
      );
      expect(stdout).to.equal('');
      const old = {
        ...{
          module: ts.ModuleKind.ESNext,
          moduleResolution: ts.ModuleResolutionKind.Bundler,
          jsx: ts.JsxEmit.ReactJSX,
        },
        ...{ target: ts.ScriptTarget.ES2022, noUncheckedIndexedAccess: true, allowImportingTsExtensions: true },
        ...{ lib: ['lib.es2023.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'], types: ['vite/client'] },
      };
      writeFileSync(
        join(app, 'src/wrong.ts'),
        "import { useRoom } from 'nano-messaging-client/react';\nuseRoom({});\n",
      );
      const found = checkWithOldTypeScript(
        [...sources, 'wrong.ts'].map((name) => join(app, 'src', name)),
        old,
      );
      expect(found.trim().split('\n')[0]).to.match(/wrong\.ts.*TS2345/);
      expect(found.match(/error TS/g)).to.have.length(1);
    });

    it('are used by two people in their browsers, who read, write, edit, react, reply, type and are offline', async function () {
      if (!hasChromium()) this.skip();
      const vite = join(project, 'node_modules/vite/bin/vite.js');
      await run('node', [vite, 'build', '--logLevel', 'warn'], { cwd: app, env });
      const script = readdirSync(join(app, 'dist/assets')).find((name) => name.endsWith('.js'))!;
      expect(gzipSync(readFileSync(join(app, 'dist/assets', script))).length).to.be.within(60_000, 110_000);
      const secrets = ['JWT_SECRET=a secret of the example that nobody knows', `ADMIN_TOKEN=${adminToken}`];
      const start = [...secrets, 'PORT=0', `DATA_DIR=${await migratedDirectory()}`, 'npx', 'nano-messaging', 'start'];
      const { hostname, port } = new URL(await firstLine('env', start, /"url":"(http:[^"]+)"/));
      const proxy = await tcpProxy(hostname, Number(port));
      const preview = ['node', vite, 'preview', app, '--host', '127.0.0.1', '--port', String(await freePort())];
      const chatUrl = `CHAT_URL=http://127.0.0.1:${proxy.port}`;
      await chatInReact(await firstLine('env', [...secrets, chatUrl, 'NO_COLOR=1', ...preview], /(http:\S+)\s/), proxy);
    });
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
