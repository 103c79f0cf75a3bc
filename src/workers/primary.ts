import cluster from 'node:cluster';
import type { Socket } from 'node:net';
import { setupPrimary } from '@socket.io/cluster-adapter';
import type { Logger } from 'pino';
import { MemoryStore } from '../cluster/memory-store.ts';
import type { RoomChanges } from '../cluster/peer-rooms.ts';
import type { WorkerAddress } from '../cluster/worker-link.ts';
import type { Config } from '../config/config.ts';
import { MetricsOfWorkers } from '../observability/metrics/of-workers.ts';
import { prepareHandover } from '../patches/net-socket-handover.ts';
import { isInTime } from './in-time.ts';
import { RoomSharing } from './room-sharing.ts';
import { type WorkerEvents, WorkerProcess } from './worker-process.ts';

export interface Primary {
  readonly url: string;
  readonly playgroundUrl: string | undefined;
  /** Drains all workers at the same time. Resolves with false if one of them did not drain in time. */
  drain(): Promise<boolean>;
}

interface Options {
  config: Pick<Config, 'workers' | 'drainTimeoutMs'>;
  /** The file that a worker runs. */
  workerFile: string;
  logger: Logger;
  /** Called when the first worker serves. The primary can be drained from then on. */
  onServing?: (primary: Primary) => void;
}

/** The error of a worker that could not start. The worker has already explained the reason. */
export class WorkerStartError extends Error {}

/** A worker that has run for so long is started again at once. */
const provenMs = 60_000;
const maxBackoffMs = 30_000;
/** After the time for the drain, the workers have this time to write their logs and to end. */
const drainGraceMs = 1_000;
const metricsTimeoutMs = 2_000;

/**
 * Starts the workers. Resolves when the first one serves and each of the others serves or has failed to start. Rejects if
 * the first one does not start. The workers share one port: this process accepts the connections and gives each to the next
 * worker that is free, so a frozen worker gets none. Apart from that, this process only forwards their messages and
 * keeps counts.
 */
export async function startPrimary({ config, workerFile, logger, onServing }: Options): Promise<Primary> {
  const count = config.workers;
  const processes = new Map<number, WorkerProcess>();
  const failures = new Map<number, number>();
  const store = new MemoryStore();
  const roomSharing = new RoomSharing<WorkerProcess>();
  let restarts = 0;
  let isStarted = false;
  let draining: { onEnd(code: number | null): void } | undefined;
  // On Windows, the default is another policy.
  cluster.schedulingPolicy = cluster.SCHED_RR;
  setupPrimary();

  const list = () => [...processes.values()];
  const serving = () => list().filter(({ address, hasEnded }) => address && !hasEnded);
  const metrics = new MetricsOfWorkers({
    wanted: count,
    get running() {
      return serving().length;
    },
    get restarts() {
      return restarts;
    },
  });

  function sendPorts(): void {
    const ports = serving().map(({ id, address }) => [id, address!.sessionPort]);
    for (const worker of list()) worker.notify('ports', ports);
  }

  async function readMetrics(): Promise<string> {
    await Promise.all(
      serving().map(async ({ id, link }) => {
        const read = link.call<object[]>('readOwnMetrics').then((own) => {
          // A late answer of a worker that has ended would count its totals twice.
          if (processes.has(id)) metrics.update(id, own);
        });
        await isInTime(read, metricsTimeoutMs);
      }),
    );
    return metrics.text();
  }

  /** Resolves when the worker serves. Rejects if it ends before. */
  function startWorker(slot: number): Promise<WorkerAddress> {
    return new Promise((resolve, reject) => {
      const fields = { worker: slot };
      const startedAt = performance.now();
      let worker: WorkerProcess;
      const events: WorkerEvents = {
        onOpen(address) {
          logger.info({ ...fields, workerPid: worker.pid }, 'worker serves');
          sendPorts();
          resolve(address);
        },
        onExit(code, signal) {
          processes.delete(worker.id);
          store.forget(worker.id);
          metrics.end(worker.id);
          sendPorts();
          roomSharing.remove(worker);
          // The worker may have stored changes that it has not published.
          for (const other of list()) other.notify('missed');
          reject(new WorkerStartError(`A worker ended before it served (${signal ?? `exit code ${code}`})`));
          if (draining) draining.onEnd(worker.address ? code : 0);
          else if (isStarted) restartLater(slot, startedAt, { code, signal });
        },
        onFrozen: () => logger.error(fields, 'worker does not answer; killing it'),
        onForwardingLost: () => logger.warn(fields, 'worker does not read the changes of other workers; dropping them'),
      };
      try {
        worker = new WorkerProcess(slot, count, workerFile, events);
      } catch (err) {
        // Node.js throws some errors of `fork`, such as a lack of memory, and reports the others as an event.
        reject(new WorkerStartError(`A worker could not be started (${(err as Error).message})`));
        if (isStarted) restartLater(slot, startedAt, { err });
        return;
      }
      processes.set(worker.id, worker);
      worker.link.answer(
        'rooms',
        ([changes]) => processes.has(worker.id) && roomSharing.share(worker, changes as RoomChanges),
      );
      worker.link.answer('store', ([command, args]) => store.run(worker.id, command as never, args as never));
      worker.link.answer('readMetrics', readMetrics);
      worker.link.answer('socket', ([to, request], socket) => passSocket(to as number, request as string, socket));
    });
  }

  function passSocket(to: number, request: string, socket: Socket | undefined): void {
    const target = processes.get(to);
    if (!socket || !target) return void socket?.destroy();
    prepareHandover(socket);
    const end = () => socket.destroy();
    target.link.pass('socket', socket, request).then(end, end);
  }

  function restartLater(slot: number, startedAt: number, reason: object): void {
    const failed = performance.now() - startedAt > provenMs ? 0 : (failures.get(slot) ?? 0);
    failures.set(slot, failed + 1);
    const inMs = failed === 0 ? 0 : Math.min(maxBackoffMs, 500 * 2 ** failed);
    logger.error({ worker: slot, ...reason, restartInMs: inMs }, 'worker ended; starting it again');
    setTimeout(() => {
      if (draining) return;
      restarts += 1;
      // If it does not start, its end leads to the next start.
      startWorker(slot).catch(() => {});
    }, inMs);
  }

  function drain(): Promise<boolean> {
    return new Promise((resolve) => {
      let inTime = true;
      const killing = setTimeout(() => {
        inTime = false;
        for (const worker of list()) worker.kill('SIGKILL');
      }, config.drainTimeoutMs + drainGraceMs);
      const onEnd = (code: number | null) => {
        inTime &&= code === 0;
        if (processes.size > 0) return;
        clearTimeout(killing);
        resolve(inTime);
      };
      draining = { onEnd };
      for (const worker of list()) {
        if (worker.address) worker.notify('drain');
        else worker.kill('SIGTERM');
      }
      if (processes.size === 0) onEnd(0);
    });
  }

  function killAll(): void {
    draining = { onEnd() {} };
    for (const worker of list()) worker.kill('SIGKILL');
  }

  try {
    // The first worker starts alone: it migrates the database, and if it cannot start, its error appears only once.
    const { url, playgroundUrl } = await startWorker(1);
    const primary = { url, playgroundUrl, drain };
    isStarted = true;
    onServing?.(primary);
    // A worker that does not start now, for example because the database is unavailable, is started again later.
    await Promise.allSettled(Array.from({ length: count - 1 }, (_, n) => startWorker(n + 2)));
    return primary;
  } catch (error) {
    killAll();
    throw error;
  }
}
