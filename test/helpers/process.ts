import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { closeLater } from './cleanup.ts';

const project = resolve(import.meta.dirname, '../..');

type Env = Record<string, string | number | undefined>;

interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** Everything that the process wrote to stdout and stderr. */
  output: string;
}

/** Runs `node src/<file>` with no environment but `env`. `root` is another checkout. */
export function runCommand(file: string, env: Env = {}, args: string[] = [], root = project) {
  const child = spawn(process.execPath, [join(root, 'src', file), ...args], {
    cwd: root,
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE, ...env } as NodeJS.ProcessEnv,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const outputListeners = new Set<(output: string) => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text: Buffer) => {
      output += text;
      for (const listener of outputListeners) listener(output);
    });
  }
  // A test worker ends without closing the resources that all tests of a file share.
  const killAtExit = () => void child.kill('SIGKILL');
  process.once('exit', killAtExit);
  const exited = new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => {
      process.off('exit', killAtExit);
      resolve({ code, signal, output });
    });
  });
  closeLater(() => {
    child.kill('SIGKILL');
    return exited;
  });
  return {
    child,
    exited,
    outputListeners,
    readOutput: () => output,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
  };
}

/** Starts a server process and waits until it listens. Rejects with its output if it does not. */
export async function runServer(env: Env, root = project) {
  const command = runCommand('bin/start.ts', { PORT: 0, HOST: '127.0.0.1', ...env }, [], root);
  const url = await new Promise<string>((resolve, reject) => {
    command.outputListeners.add((output) => {
      const listening = /"url":"(http:[^"]+)"/.exec(output)?.[1];
      if (listening) resolve(listening);
    });
    command.exited.then(({ code, output }) => reject(new Error(`The server ended with ${code}:\n${output}`)));
  });
  return { ...command, url };
}

/** A data directory that is removed after the test. */
export function dataDirectory(): string {
  const home = mkdtempSync(join(tmpdir(), 'nano-data-'));
  const remove = () => {
    process.off('exit', remove);
    rmSync(home, { recursive: true, force: true });
  };
  process.once('exit', remove);
  closeLater(remove);
  return join(home, 'data');
}
