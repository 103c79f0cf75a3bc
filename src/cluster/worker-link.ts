import type { Socket } from 'node:net';
import { IpcLink } from './ipc-link.ts';

/** What a worker reports to the primary when it serves. */
export interface WorkerAddress {
  url: string;
  playgroundUrl: string | undefined;
  /** The port on 127.0.0.1 on which the worker takes long-polling requests from the other workers. */
  sessionPort: number;
}

/** The worker as the primary knows it. */
export interface WorkerIdentity {
  /** Different for each process; a worker that replaces another worker has a new id. */
  id: number;
  /** A number from 1 to `count`. A worker that replaces another worker has its slot. */
  slot: number;
  count: number;
}

/** The end of the IPC channel in a worker. The primary is at the other end. */
export class WorkerLink extends IpcLink {
  readonly identity: WorkerIdentity;
  #ports: ReadonlyMap<number, number> = new Map();
  #onSocket: (request: string, socket: Socket) => void = (_request, socket) => socket.destroy();

  constructor(identity: WorkerIdentity) {
    super({
      send: (message, handle, callback) => process.send!(message, handle, {}, callback),
      on: (event, listener) => process.on(event, listener),
    });
    this.identity = identity;
    this.answer('beat', () => true);
    this.answer('ports', ([ports]) => {
      this.#ports = new Map(ports as [number, number][]);
    });
    this.answer('socket', ([request], socket) => {
      if (socket) this.#onSocket(request as string, socket);
    });
  }

  /** The port on 127.0.0.1 on which another worker takes requests. Undefined if the worker does not exist. */
  findPort(worker: number): number | undefined {
    return this.#ports.get(worker);
  }

  /** Passes a connection to another worker, with the bytes that were read from it, in base64. */
  passSocket(worker: number, request: string, socket: Socket): Promise<void> {
    return this.pass('socket', socket, worker, request);
  }

  onSocket(listener: (request: string, socket: Socket) => void): void {
    this.#onSocket = listener;
  }

  /** Reports that this worker serves. */
  async open(address: WorkerAddress): Promise<void> {
    await this.call('open', address);
  }

  /** Resolves with the metrics of all workers in the text format of Prometheus. */
  readMetrics(): Promise<string> {
    return this.call('readMetrics');
  }
}
