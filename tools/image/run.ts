import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { aptInstall, isRoot } from '../../test/helpers/debian.ts';
import { freePort } from '../../test/helpers/free-port.ts';
import { readCommandLine } from '../command-line.ts';

const usage = `npm run test:image: builds the image from the Dockerfile with podman and buildah, without a container engine. Starts it as the
user of the image, requests its health, its pages and a room, and stops it with SIGTERM. Needs root on Debian; elsewhere it is
skipped.

  --help`;

readCommandLine(usage, {}, () => {});

const root = resolve(import.meta.dirname, '../..');
const base = 'docker.io/library/node:24-slim';
const image = 'localhost/nano-messaging:test';

const run = (file: string, ...words: string[]) =>
  execFileSync(file, words, { stdio: ['ignore', 'inherit', 'inherit'] });
const ask = (file: string, ...words: string[]) => execFileSync(file, words, { encoding: 'utf8' }).trim();
const has = (file: string) => spawnSync('sh', ['-c', `command -v ${file}`]).status === 0;

/** Returns the reason why this machine cannot build the image, or undefined. */
function findObstacle(): string | undefined {
  if (!isRoot) return 'debootstrap needs root';
  if (process.arch !== 'x64' && process.arch !== 'arm64') return `there is no Node.js package for ${process.arch}`;
  const tools = ['podman', 'buildah', 'debootstrap'];
  if (tools.every(has)) return undefined;
  try {
    aptInstall('The image is built without a container engine', ...tools);
  } catch (error) {
    return `the tools cannot be installed: ${(error as Error).message}`;
  }
  return tools.every(has) ? undefined : `${tools.join(', ')} are not installed and this is not Debian`;
}

/** Creates the base image of the Dockerfile from Debian, Node.js and npm, so that no image registry is needed. */
function importBase(work: string): void {
  const tree = join(work, 'base');
  run('debootstrap', '--variant=minbase', 'bookworm', tree);
  const bin = join(root, `node_modules/node-linux-${process.arch}/bin/node`);
  cpSync(bin, join(tree, 'usr/local/bin/node'));
  const npm = resolve(realpathSync(ask('sh', '-c', 'command -v npm')), '../..');
  mkdirSync(join(tree, 'usr/local/lib/node_modules'), { recursive: true });
  cpSync(npm, join(tree, 'usr/local/lib/node_modules/npm'), { recursive: true, verbatimSymlinks: true });
  run('chroot', tree, 'ln', '-s', '../lib/node_modules/npm/bin/npm-cli.js', '/usr/local/bin/npm');
  run('chroot', tree, 'useradd', '--create-home', '--uid', '1000', 'node');
  run('sh', '-c', `tar --create --directory '${tree}' . | podman import --quiet - ${base}`);
}

/** Arguments that give the build the npm registry and certificates of this machine. They do not remain in the image. */
function npmSettings(work: string): string[] {
  const [registry, cafile] = ['registry', 'cafile'].map((name) => ask('npm', 'config', 'get', name));
  const mounts = [];
  let text = `registry=${registry}\nfund=false\naudit=false\n`;
  if (cafile && cafile !== 'null' && existsSync(cafile)) {
    text += 'cafile=/etc/npm-ca.crt\n';
    mounts.push('--volume', `${cafile}:/etc/npm-ca.crt:ro`);
  }
  const file = join(work, 'npmrc');
  writeFileSync(file, text);
  return [...mounts, '--volume', `${file}:/root/.npmrc:ro`];
}

function build(work: string): void {
  const words = [
    'build',
    '--isolation',
    'chroot',
    '--network',
    'host',
    '--pull-never',
    '--format',
    'docker',
    '--tag',
    image,
  ];
  run('podman', ...words, ...npmSettings(work), root);
}

async function request(url: string, isRunning: () => boolean): Promise<Response> {
  for (const until = Date.now() + 60_000; Date.now() < until && isRunning(); ) {
    const response = await fetch(url).catch(() => undefined);
    if (response) return response;
    await new Promise((next) => setTimeout(next, 100));
  }
  throw new Error(`no answer from ${url} within 60 s`);
}

interface Container {
  name: string;
  /** Arguments of buildah up to the command that runs in the container. */
  words: string[];
}

function createContainer(work: string, port: number): Container {
  const data = join(work, 'data');
  mkdirSync(data);
  run('chown', '1000:1000', data);
  const name = ask('buildah', 'from', '--pull-never', image);
  const settings = [`PORT=${port}`, 'HOST=127.0.0.1'].flatMap((setting) => ['--env', setting]);
  return {
    name,
    words: ['run', '--isolation', 'chroot', '--user', 'node', '--volume', `${data}:/data`, ...settings, name],
  };
}

/** Runs the server with the embedded database and its data in a volume. */
async function start(work: string): Promise<void> {
  const port = await freePort();
  const { name, words } = createContainer(work, port);
  const child = spawn('buildah', [...words, 'node', 'dist/src/bin/start.js'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<number | null>((settle) => child.on('exit', settle));
  let log = '';
  child.stdout.on('data', (data: Buffer) => {
    process.stdout.write(data);
    log += data;
  });
  try {
    await useServer(`http://127.0.0.1:${port}`, () => child.exitCode === null, [
      ...words,
      'node',
      'dist/src/bin/token.js',
    ]);
    // buildah does not forward signals. The process shares the process ids of the host, so it gets the signal directly.
    process.kill(Number(/"pid":(\d+)/.exec(log)?.[1]), 'SIGTERM');
    console.log(`SIGTERM: exit code ${await ended}`);
  } finally {
    child.kill('SIGKILL');
    await ended;
    ask('buildah', 'rm', name);
  }
}

async function useServer(url: string, isRunning: () => boolean, tokenCommand: string[]): Promise<void> {
  for (const path of ['/healthz', '/readyz', '/', '/openapi.json', '/docs/']) {
    const answer = await request(url + path, isRunning);
    console.log(`GET ${path}: ${answer.status}, ${(await answer.text()).length} characters`);
    if (!answer.ok) throw new Error(`${path} answers ${answer.status}`);
  }
  const token = ask('buildah', ...tokenCommand, '--level', '100');
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const made = await fetch(`${url}/rooms`, { method: 'POST', headers, body: '{"name":"From the image"}' });
  console.log(`POST /rooms: ${made.status}`);
  if (!made.ok) throw new Error(await made.text());
}

async function main(): Promise<void> {
  const obstacle = findObstacle();
  if (obstacle) return console.log(`skipped: ${obstacle}`);
  const work = mkdtempSync(join(tmpdir(), 'nano-image-'));
  try {
    importBase(work);
    build(work);
    console.log(ask('podman', 'images', '--format', '{{.Repository}}:{{.Tag}} {{.Size}}', image));
    await start(work);
  } finally {
    for (const name of [image, base]) spawnSync('podman', ['rmi', '--force', name]);
    rmSync(work, { recursive: true, force: true });
  }
}

await main();
