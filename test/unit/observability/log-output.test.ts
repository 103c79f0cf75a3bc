import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { createPrettyFormat } from '../../../src/observability/log-format.ts';
import { smallDisk } from '../../helpers/small-disk.ts';

const source = resolve(import.meta.dirname, '../../../src/observability/logger.ts');

/**
 * A process that reads a number of lines from standard input, logs as many, and confirms this on standard error. Before its
 * exit, it waits up to `flushMs` for the reader of the log.
 */
const programOf = (flushMs: number) => `
  import { createLogger } from ${JSON.stringify(source)};
  const { logger, flush } = createLogger('info');
  process.stdin.on('data', (text) => {
    for (let n = 0; n < Number(text); n++) logger.info({ n, filler: 'x'.repeat(1_000) }, 'a line');
    process.stderr.write('.');
  });
  process.stdin.on('end', () => flush(${flushMs}).then(() => process.exit(0)));`;

const run = (stdout: number | 'pipe', flushMs = 30_000) =>
  spawn(process.execPath, ['--input-type=module', '-e', programOf(flushMs)], { stdio: ['pipe', stdout, 'pipe'] });

async function log(child: ReturnType<typeof run>, lines: number): Promise<void> {
  const done = once(child.stderr!, 'data');
  child.stdin!.write(`${lines}`);
  await done;
}

async function end(child: ReturnType<typeof run>): Promise<unknown> {
  child.stdin!.end();
  const [code] = await once(child, 'exit');
  return code;
}

describe('the log', () => {
  it('adds one listener to the output of the process, however many servers write to it', async () => {
    const program = `
      import { createLogger } from ${JSON.stringify(source)};
      for (let n = 0; n < 20; n++) {
        createLogger('info');
        console.error(process.stdout.listenerCount('error'));
      }`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const counts = (await text(child.stderr!)).trim().split('\n');
    expect(counts).to.deep.equal(Array.from({ length: 20 }, () => counts[0]));
  });

  it('drops log lines while the disk is full, and logs their number once there is space', async function () {
    const disk = smallDisk(1);
    if (!disk) {
      console.log('      skipped: this user cannot mount a disk');
      return this.skip();
    }
    const path = join(disk.directory, 'log');
    const file = openSync(path, 'a');
    const child = run(file);
    await log(child, 1);
    disk.fill(0);
    await log(child, 100);
    disk.makeRoom();
    await log(child, 2);
    expect(await end(child)).to.equal(0);
    closeSync(file);
    const lines = readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'));
    const lost = lines.map((line) => JSON.parse(line)).find(({ msg }) => msg === 'log lines were lost');
    expect(lost.lost).to.be.within(90, 100);
    expect(lines.slice(-2).map((line) => JSON.parse(line).msg)).to.deep.equal(['a line', 'a line']);
  });

  it('does not block the process or its exit if nobody reads the log', async () => {
    const child = run('pipe', 200);
    for (let n = 0; n < 5; n++) await log(child, 2_000);
    expect(await end(child)).to.equal(0);
  });

  it('does not stop the process if the reader of the log closes the pipe', async () => {
    const child = run('pipe');
    child.stdout!.destroy();
    for (let n = 0; n < 3; n++) await log(child, 10);
    expect(await end(child)).to.equal(0);
  });

  it('writes level names as words, and all lines before the exit', async () => {
    const child = run('pipe');
    let text = '';
    child.stdout!.on('data', (data) => {
      text += data;
    });
    await log(child, 300);
    child.stdin!.end();
    await once(child, 'close');
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).to.have.length(300);
    expect(lines.at(-1)).to.include({ level: 'info', n: 299, msg: 'a line' });
  });

  it('writes time, level, event and fields in the pretty format, with colours on a terminal', () => {
    const line = JSON.stringify({ level: 'warn', time: 0, pid: 1, hostname: 'h', signal: 'SIGTERM', msg: 'draining' });
    expect(createPrettyFormat(false)(`${line}\n`)).to.match(
      /^\[\d\d:\d\d:\d\d\] WARN: draining {"signal":"SIGTERM"}\n$/,
    );
    expect(createPrettyFormat(true)(`${line}\n`)).to.include('\u001b[33mWARN');
    const failed = JSON.stringify({
      level: 'error',
      time: 0,
      err: { message: 'no', stack: 'Error: no' },
      msg: 'failed',
    });
    expect(createPrettyFormat(false)(`${failed}\n`)).to.match(/ERROR: failed.*Error: no/s);
  });
});
