import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from 'chai';
import { lockDataDirectory } from '../../src/store/data-directory.ts';

const source = resolve(import.meta.dirname, '../../src/store/data-directory.ts');

/** A process that says `ready`, takes the directory when told to, says how that went, and holds it until it ends. */
const program = `
  import { lockDataDirectory } from ${JSON.stringify(source)};
  process.stdin.on('data', () => {
    try { lockDataDirectory(process.argv[1]); console.log('held'); }
    catch (error) { console.log(error.message); }
  });
  process.stdin.on('end', () => process.exit());
  console.log('ready');`;

describe('the data directory', () => {
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

  async function taker() {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program, directory], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
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

  it('is made where it is missing, for its owner alone', () => {
    const missing = join(directory, 'a', 'b');
    const release = lockDataDirectory(missing);
    expect(statSync(missing).mode & 0o077).to.equal(0);
    release();
  });

  it('is refused to a second server of the same process', () => {
    const release = lockDataDirectory(directory);
    expect(() => lockDataDirectory(directory)).to.throw(`in use by process ${process.pid}`);
    release();
  });

  it('can be taken again after its release', () => {
    lockDataDirectory(directory)();
    lockDataDirectory(directory)();
  });

  it('is refused while another process holds it, with what to do about it', async () => {
    const { child, take } = await taker();
    expect(await take()).to.equal('held');
    expect(() => lockDataDirectory(directory)).to.throw(new RegExp(`${child.pid}.*DATA_DIR`, 's'));
  });

  it('is taken over from a process that was killed', async () => {
    await killedHolder();
    const release = lockDataDirectory(directory);
    expect(() => lockDataDirectory(directory)).to.throw('in use');
    release();
  });

  it('is taken over where the number of the killed process now names another one', async () => {
    await killedHolder();
    const path = join(directory, 'lock');
    const stale = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...stale, pid: process.pid }));
    lockDataDirectory(directory)();
  });

  for (const rubbish of ['', '{', 'null', '[]', '{"pid":"1"}', '{"pid":999999999,"started":"never"}']) {
    it(`is taken over from a lock that says ${JSON.stringify(rubbish)}`, () => {
      writeFileSync(join(directory, 'lock'), rubbish);
      lockDataDirectory(directory)();
    });
  }

  it('is not released by one who no longer holds it', async () => {
    const release = lockDataDirectory(directory);
    rmSync(join(directory, 'lock'));
    const { take } = await taker();
    expect(await take()).to.equal('held');
    release();
    expect(() => lockDataDirectory(directory)).to.throw('in use');
  });

  it('goes to one of several that find a stale lock at the same moment', async () => {
    await killedHolder();
    const takers = await Promise.all([taker(), taker(), taker(), taker()]);
    const answers = await Promise.all(takers.map(({ take }) => take()));
    expect(answers.filter((answer) => answer === 'held')).to.have.length(1);
    expect(answers.filter((answer) => answer.includes('in use'))).to.have.length(3);
  });
});
