import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { closeLater } from './cleanup.ts';
import { waitUntil } from './wait-until.ts';

/** The examples run in this directory, as they do for their readers. */
export const project = resolve(import.meta.dirname, '../..');

export type Program = ReturnType<typeof runProgram>;

/** Runs any program with an open stdin. The program is killed after the test. */
export function runProgram(command: string, args: string[], env: Record<string, string> = {}) {
  const child = spawn(command, args, {
    cwd: project,
    env: { PATH: process.env.PATH, ...env } as NodeJS.ProcessEnv,
    stdio: 'pipe',
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (text: Buffer) => {
    output += text;
  });
  child.stderr.on('data', (text: Buffer) => {
    errors += text;
  });
  child.stdin.on('error', () => {}); // the program has ended, and the test receives the error
  // A test worker ends without closing the resources that all tests of a file share.
  const killAtExit = () => void child.kill('SIGKILL');
  process.once('exit', killAtExit);
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      process.off('exit', killAtExit);
      resolve(code);
    });
  });
  closeLater(() => {
    child.kill('SIGKILL');
    return exited;
  });
  const all = () => `${output}\n${errors}`;
  return {
    exited,
    type: (...lines: string[]) => void child.stdin.write(lines.map((line) => `${line}\n`).join('')),
    endInput: () => void child.stdin.end(),
    /** The output until now. */
    output: () => output,
    errors: () => errors,
    lines: () => output.split('\n').slice(0, -1),
    async waitForOutput(what: string | RegExp): Promise<void> {
      const isThere = () => (typeof what === 'string' ? all().includes(what) : what.test(all()));
      await waitUntil(`${what}`, isThere, 15_000).catch((error) => {
        throw new Error(`${error.message}; output:\n${all()}`);
      });
    },
  };
}
