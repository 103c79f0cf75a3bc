import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from 'chai';
import { type LockOptions, lockDataDirectory } from '../../../src/database/data-directory.ts';
import { makePrivate } from '../../../src/database/make-directory.ts';
import { waitUntil } from '../../helpers/wait-until.ts';

const source = resolve(import.meta.dirname, '../../../src/database/data-directory.ts');

/** A process that prints `ready`, locks the directory on request, prints the outcome, and holds the lock until it ends. */
const program = `
  import { lockDataDirectory } from ${JSON.stringify(source)};
  process.stdin.on('data', () => {
    lockDataDirectory(process.argv[1]).then(() => console.log('held'), (error) => console.log(error.message));
  });
  process.stdin.on('end', () => process.exit());
  console.log('ready');`;

describe('The data directory', () => {
  let directory: string;
  const children: ChildProcess[] = [];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'nano-lock-'));
  });

  afterEach(async () => {
    for (const child of children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    rmSync(directory, { recursive: true });
  });

  /** `launcher` is a command that runs the process, such as `unshare`. */
  async function taker(launcher: string[] = []) {
    const [command, ...args] = [...launcher, process.execPath, '--input-type=module', '-e', program, directory];
    const child = spawn(command!, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    children.push(child);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = async () => (await lines.next()).value as string;
    expect(await next()).to.equal('ready');
    return {
      child,
      take: () => {
        child.stdin.write('take\n');
        return next();
      },
    };
  }

  async function killedHolder(): Promise<number> {
    const { child, take } = await taker();
    expect(await take()).to.equal('held');
    child.kill('SIGKILL');
    await once(child, 'exit');
    return child.pid!;
  }

  /** The error of a failed lock. */
  const refusal = (options?: LockOptions): Promise<string> =>
    lockDataDirectory(directory, options).then(
      () => 'it was not refused',
      (error: Error) => error.message,
    );

  const lockOf = () => join(directory, 'lock');

  it('creates the data directory for its owner only', async () => {
    const missing = join(directory, 'a', 'b');
    const { release } = await lockDataDirectory(missing);
    expect(statSync(missing).mode & 0o077).to.equal(0);
    for (const name of ['lock', 'lock.db']) expect(statSync(join(missing, name)).mode & 0o077, name).to.equal(0);
    release();
  });

  it('removes the access of other users to an existing data directory', () => {
    const existing = join(directory, 'pglite');
    mkdirSync(existing);
    chmodSync(existing, 0o755);
    expect(statSync(makePrivate(existing)).mode & 0o777).to.equal(0o700);
    expect(statSync(makePrivate(join(directory, 'another'))).mode & 0o777).to.equal(0o700);
  });

  it('refuses to lock a data directory twice in the same process', async () => {
    const { release } = await lockDataDirectory(directory);
    expect(await refusal()).to.include(`in use by process ${process.pid}`);
    expect(await refusal(), 'and again').to.include('in use');
    release();
  });

  it('locks a data directory again after its release', async () => {
    for (let n = 0; n < 2; n++) (await lockDataDirectory(directory)).release();
  });

  it('refuses to lock a data directory that a process in another container holds', async function () {
    if (process.getuid?.() !== 0 || process.platform !== 'linux') return this.skip();
    const container = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];
    const [first, second] = await Promise.all([taker(container), taker(container)]);
    expect(await first.take()).to.equal('held');
    expect(await second.take()).to.include('in use by process 1');
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    // The launcher ends shortly before the process that it launched.
    await waitUntil('it is free', async () => (await second.take()) === 'held');
  });

  describe('last used on another machine', () => {
    const quick = { beatIntervalMs: 20, foreignTimeoutMs: 400 };
    const foreign = { pid: 1, started: 'x/1', boot: 'another boot', host: 'another-host', id: 'x' };

    it('refuses to lock a data directory while another machine touches its lock file', async () => {
      writeFileSync(lockOf(), JSON.stringify(foreign));
      let seconds = 1_000;
      const beat = setInterval(() => utimesSync(lockOf(), seconds, seconds++), 20);
      try {
        expect(await refusal(quick)).to.include('in use by process 1 of another-host');
      } finally {
        clearInterval(beat);
      }
    });

    it('takes over a data directory once its lock file is no longer touched, and reports the wait', async () => {
      writeFileSync(lockOf(), JSON.stringify(foreign));
      const waits: string[] = [];
      const { release } = await lockDataDirectory(directory, { ...quick, onWait: (text) => waits.push(text) });
      expect(waits.join()).to.include('another-host');
      release();
    });

    it('touches the lock file while the data directory is locked', async () => {
      const { release } = await lockDataDirectory(directory, quick);
      const { id } = JSON.parse(readFileSync(lockOf(), 'utf8'));
      utimesSync(lockOf(), 1_000, 1_000);
      await waitUntil('the file is touched', () => statSync(lockOf()).mtimeMs > 1_000_000);
      expect(JSON.parse(readFileSync(lockOf(), 'utf8')).id).to.equal(id);
      release();
    });
  });

  describe('that another process has taken over', () => {
    it('fails before the next statement if another process has taken over the data directory', async () => {
      const losses: Error[] = [];
      const lock = await lockDataDirectory(directory, { onLost: (error) => losses.push(error) });
      lock.assertHeld();
      rmSync(lockOf());
      writeFileSync(lockOf(), JSON.stringify({ pid: 1, host: 'another-host', id: 'y' }));
      expect(() => lock.assertHeld()).to.throw('taken over by process 1 of another-host');
      expect(() => lock.assertHeld()).to.throw('taken over');
      expect(losses).to.have.length(1);
      lock.release();
      expect(readFileSync(lockOf(), 'utf8'), 'the file of the other one stays').to.include('another-host');
    });

    it('notices the loss of the data directory while idle, even if the lock file is missing', async () => {
      const { promise, resolve } = Promise.withResolvers<Error>();
      const lock = await lockDataDirectory(directory, { beatIntervalMs: 20, onLost: resolve });
      rmSync(lockOf());
      expect((await promise).message).to.include('is gone');
      lock.release();
    });
  });

  it('refuses with advice to lock a data directory that another process holds', async () => {
    const { child, take } = await taker();
    expect(await take()).to.equal('held');
    expect(await refusal()).to.match(new RegExp(`${child.pid}.*DATA_DIR`, 's'));
  });

  it('takes over the data directory of a killed process', async () => {
    await killedHolder();
    const { release } = await lockDataDirectory(directory);
    expect(await refusal()).to.include('in use');
    release();
  });

  it('takes over the data directory of a killed process whose id now belongs to another process', async () => {
    await killedHolder();
    const path = join(directory, 'lock');
    const stale = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...stale, pid: process.pid }));
    (await lockDataDirectory(directory)).release();
  });

  for (const rubbish of ['', '{', 'null', '[]', '{"pid":"1"}', '{"pid":999999999,"started":"never"}']) {
    it(`takes over a data directory whose lock file contains ${JSON.stringify(rubbish)}`, async () => {
      writeFileSync(lockOf(), rubbish);
      (await lockDataDirectory(directory)).release();
    });
  }

  it('does not release a data directory for a former holder', async () => {
    const { release } = await lockDataDirectory(directory);
    for (const name of ['lock', 'lock.db']) rmSync(join(directory, name));
    const { take } = await taker();
    expect(await take()).to.equal('held');
    release();
    expect(await refusal()).to.include('in use');
  });

  it('gives the data directory to exactly one of several processes that find a stale lock at once', async () => {
    await killedHolder();
    const takers = await Promise.all([taker(), taker(), taker(), taker()]);
    const answers = await Promise.all(takers.map(({ take }) => take()));
    expect(answers.filter((answer) => answer === 'held')).to.have.length(1);
    expect(answers.filter((answer) => answer.includes('in use'))).to.have.length(3);
  });
});
