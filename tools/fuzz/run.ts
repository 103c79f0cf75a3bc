import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { SignJWT } from 'jose';
import { parseWholeNumber, readCommandLine } from '../command-line.ts';
import { attackChat, attackEngine, attackRest, attackSocketio, type Tally, type Target } from './frames.ts';
import { random } from './random.ts';

const usage = `npm run fuzz -- [options]: sends random frames and requests to a server that it starts. Fails if the server ends, logs an
error or answers anything that is not documented.

  --frames N     number of frames on /chat, Socket.IO and Engine.IO (100000)
  --requests N   number of REST requests (20000)
  --seed N       seed of all random choices (1)
  --help

With DATABASE_URL the server uses that database; without it, an embedded one.

Exit codes: 0 passed; 1 failed; 2 invalid arguments`;

const options = {
  frames: { type: 'string', default: '100000' },
  requests: { type: 'string', default: '20000' },
  seed: { type: 'string', default: '1' },
} as const;
const { frames, requestCount, seed } = readCommandLine(usage, options, (values) => ({
  frames: parseWholeNumber('frames', values.frames, 1),
  requestCount: parseWholeNumber('requests', values.requests, 1),
  seed: parseWholeNumber('seed', values.seed, 0),
}));

const secret = 'a secret for one run of random frames';
const user = '0b5e1f6a-6d0f-4f4a-9a43-0f0f5d1f6a00';

const directory = mkdtempSync(join(tmpdir(), 'nano-fuzz-'));
const server = spawn(process.execPath, ['src/bin/start.ts'], {
  env: {
    ...{ PATH: process.env.PATH, DATABASE_URL: process.env.DATABASE_URL, DATA_DIR: directory, JWT_SECRET: secret },
    ...{
      HOST: '127.0.0.1',
      PORT: '0',
      SEND_RATE: '0',
      REQUEST_RATE: '0',
      RULE_RATE: '0',
      MAX_CONNECTIONS_PER_USER: '0',
    },
  },
  stdio: ['ignore', 'pipe', 'inherit'],
});
let ended: number | string | undefined;
server.once('exit', (code, signal) => {
  ended = signal ?? code ?? 'unknown';
});
const defects: string[] = [];
const lines = createInterface({ input: server.stdout });
const url = await new Promise<string>((resolve, reject) => {
  server.once('exit', () => reject(new Error('the server did not start')));
  lines.on('line', (line) => {
    const entry = JSON.parse(line) as { level: number; msg: string; url?: string };
    if (entry.url) resolve(entry.url);
    // An error in the log is a defect, even if the process survives and the client gets an answer.
    if (entry.level >= 50) defects.push(line.slice(0, 2_000));
  });
});

async function target(): Promise<Target> {
  const token = await new SignJWT({ userUUID: user, entityUUID: user, levelOnEntity: 100 })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(Buffer.from(secret));
  const response = await fetch(`${url}/rooms`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ name: 'odd' }),
  });
  const { content } = (await response.json()) as { content: { room: { id: number; uuid: string } } };
  return { url, token, room: content.room.id, uuid: content.room.uuid };
}

const tallies: Tally[] = [];
try {
  const [half, engine] = [Math.floor(frames * 0.45), Math.ceil(frames * 0.1)];
  const attacks = [
    attackChat(await target(), random(seed), half),
    attackSocketio(await target(), random(seed + 1), half),
    attackEngine(await target(), random(seed + 2), engine),
    attackRest(await target(), random(seed + 3), requestCount),
  ];
  tallies.push(...(await Promise.all(attacks)));
  const alive = await fetch(`${url}/readyz`);
  if (!alive.ok || ended !== undefined)
    throw new Error(`the server ended (${ended}) or is not ready (${alive.status})`);
  if (defects.length > 0) throw new Error(`the server logged ${defects.length} errors, the first: ${defects[0]}`);
  for (const tally of tallies) {
    for (const [answer, times] of [...tally].sort()) console.log(`${String(times).padStart(8)}  ${answer}`);
  }
  console.log(
    `${frames} frames and ${requestCount} requests, seed ${seed}: the process lives, every answer documented`,
  );
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  server.kill('SIGTERM');
  if (ended === undefined) await new Promise((resolve) => server.once('exit', resolve));
  rmSync(directory, { recursive: true, force: true });
}
process.exit();
