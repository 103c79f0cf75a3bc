import cluster, { type Worker } from 'node:cluster';
import { Heartbeat } from '../cluster/heartbeat.ts';
import { IpcLink } from '../cluster/ipc-link.ts';
import type { WorkerAddress } from '../cluster/worker-link.ts';
import { closePendingConnections } from '../patches/cluster-pending-connections.ts';
import { limitForwarding } from './limit-forwarding.ts';

/**
 * How long a worker may be silent before it is killed. Meanwhile the other workers serve, but the clients of this one wait.
 * A worker is silent if its process is frozen, or if its event loop is blocked.
 */
const silence = { beatMs: 1_000, silenceMs: 30_000 };

export interface WorkerEvents {
  /** The worker serves. */
  onOpen(address: WorkerAddress): void;
  onExit(code: number | null, signal: string | null): void;
  /** The worker has not answered for a long time and is killed. */
  onFrozen(): void;
  /** Messages of other workers are missing, because the worker did not read them in time. */
  onForwardingLost(): void;
}

/** One process that serves, from its start to its end. */
export class WorkerProcess {
  readonly slot: number;
  readonly link: IpcLink;
  readonly startedAt = performance.now();
  readonly #worker: Worker;
  #heartbeat: Heartbeat | undefined;
  #address: WorkerAddress | undefined;

  constructor(slot: number, count: number, file: string, events: WorkerEvents) {
    this.slot = slot;
    cluster.setupPrimary({ exec: file, args: [String(slot), String(count)] });
    const worker = cluster.fork();
    this.#worker = worker;
    closePendingConnections(worker.process);
    this.link = new IpcLink({
      send: (message, handle, callback) => worker.process.send(message, handle, {}, callback),
      on: (event, listener) => worker.on(event, listener),
    });
    limitForwarding(worker, {
      onLost: events.onForwardingLost,
      // The worker reads from the log what it has missed.
      onRecovered: () => this.notify('missed'),
    });
    this.link.answer('beat', () => true);
    this.link.answer('open', ([address]) => {
      this.#address = address as WorkerAddress;
      this.#watch(events.onFrozen);
      events.onOpen(this.#address);
    });
    let hasExited = false;
    const onExit = (code: number | null, signal: string | null) => {
      if (hasExited) return;
      hasExited = true;
      this.#heartbeat?.stop();
      this.link.close(new Error('The worker has ended'));
      events.onExit(code, signal);
    };
    worker.once('exit', onExit);
    // A `fork` that fails causes this event instead of `exit`. So does a message that cannot be sent, which ends nothing.
    worker.on('error', () => {
      if (worker.process.pid === undefined) onExit(null, null);
    });
  }

  /** Different for each process. */
  get id(): number {
    return this.#worker.id;
  }

  get pid(): number | undefined {
    return this.#worker.process.pid;
  }

  /** Where the worker serves. Undefined until it does. */
  get address(): WorkerAddress | undefined {
    return this.#address;
  }

  get hasEnded(): boolean {
    return this.#worker.isDead();
  }

  /** Calls a function of the worker, and ignores the result. */
  notify(name: string, ...args: unknown[]): void {
    this.link.call(name, ...args).catch(() => {});
  }

  kill(signal: 'SIGTERM' | 'SIGKILL'): void {
    this.#worker.process.kill(signal);
  }

  #watch(onFrozen: () => void): void {
    const heartbeat = new Heartbeat(
      {
        sendBeat: () =>
          void this.link.call('beat').then(
            () => heartbeat.handleBeat(),
            () => {},
          ),
        onSilent: () => {
          onFrozen();
          this.kill('SIGKILL');
        },
      },
      silence,
    );
    this.#heartbeat = heartbeat;
  }
}
