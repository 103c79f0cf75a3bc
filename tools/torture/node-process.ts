import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const project = resolve(import.meta.dirname, '../..');
/** In the package, this file and the service are compiled. */
const extension = extname(import.meta.filename);
const main = resolve(import.meta.dirname, `node${extension}`);
/** Breaks the node on purpose, if the run asks for it. */
const defects = resolve(import.meta.dirname, `node-defects${extension}`);
const startMs = 60_000;

interface Options {
  port: number;
  account: string;
  env: NodeJS.ProcessEnv;
  logFile: string;
}

/** One node of the service in a separate process. It keeps its port across restarts. */
export class NodeProcess {
  readonly url: string;
  /** The user of its database connections. */
  readonly account: string;
  /** Descriptions of unexpected ends of the process. */
  readonly deaths: string[] = [];
  /**
   * Starts that failed before the node listened, for example because the database was down. A supervisor would try
   * again, too.
   */
  failedStarts = 0;
  readonly #env: NodeJS.ProcessEnv;
  readonly #logFile: string;
  #child: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();
  #isWanted = false;
  #isListening = false;

  constructor({ port, account, env, logFile }: Options) {
    this.account = account;
    this.url = `http://127.0.0.1:${port}`;
    this.#env = { ...env, HOST: '127.0.0.1', PORT: String(port) };
    this.#logFile = logFile;
  }

  /** Resolves when the node is ready. Starts it again if it ends before that. */
  async start(): Promise<void> {
    this.#isWanted = true;
    const deadline = performance.now() + startMs;
    while (this.#isWanted) {
      if (performance.now() > deadline) throw new Error(`${this.url} did not start in ${startMs / 1_000} s`);
      if (!this.#child) this.#spawn();
      if (await this.#isReady()) {
        this.#isListening = true;
        return;
      }
      await delay(50);
    }
  }

  /** Suspends the process, so that it sends nothing and does not notice the answers of the database. */
  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  /** The process ids of the workers; none if the node has only one process. */
  listWorkers(): number[] {
    const pid = this.#child?.pid;
    if (pid === undefined) return [];
    try {
      return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
    } catch {
      return []; // The node has ended meanwhile.
    }
  }

  /** `SIGKILL` simulates a crash, `SIGTERM` a rolling update. */
  async stop(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    this.#isWanted = false;
    this.#child?.kill(signal);
    await this.#exited;
  }

  /** Kills the node when this process exits, so that it does not outlive the run. */
  killNow(): void {
    this.#isWanted = false;
    this.#child?.kill('SIGKILL');
  }

  #spawn(): void {
    const log = openSync(this.#logFile, 'a');
    const child = spawn(process.execPath, [...(this.#env.TORTURE_DEFECT ? ['--import', defects] : []), main], {
      cwd: project,
      env: this.#env,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#child = child;
    this.#isListening = false;
    this.#exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#child = undefined;
        if (this.#isWanted && this.#isListening) this.deaths.push(`${this.url} ended by itself: ${signal ?? code}`);
        else if (this.#isWanted) this.failedStarts += 1;
        resolve(undefined);
      });
    });
  }

  async #isReady(): Promise<boolean> {
    try {
      const answer = await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(2_000) });
      await answer.arrayBuffer();
      return answer.ok && this.#child !== undefined;
    } catch {
      return false;
    }
  }
}
