import { applyChanges, type RoomChanges } from '../cluster/peer-rooms.ts';
import { isInTime } from './in-time.ts';

/** The part of a `WorkerProcess` that is used here. */
interface Member {
  readonly id: number;
  readonly link: { call(name: string, ...args: unknown[]): Promise<unknown> };
  notify(name: string, ...args: unknown[]): void;
}

interface Shared {
  rooms: Set<string>;
  /** The changes that may be confirmed late together, after which the worker is notified once. */
  late: LateChanges;
}

interface LateChanges {
  /** How many of them still wait for another worker. */
  waiting: number;
  /** Whether one of them has been confirmed. Later changes then do not delay the notification. */
  isClosed: boolean;
}

/**
 * Notifies each worker of the rooms that the others serve, because a worker sends the messages of a room only to the workers
 * that serve it. Messages that were committed before the sender knew of a room are missing, so each worker reads the log
 * after `share`.
 */
export class RoomSharing<M extends Member> {
  readonly #members = new Map<M, Shared>();
  readonly #timeoutMs: number;

  /** `share` waits no longer than this for the other workers, because one of them may be frozen. */
  constructor(timeoutMs = 500) {
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Resolves when the other workers know the changes, or after the timeout. After a timeout, the worker may have missed
   * messages until the others know the changes, and is notified then.
   */
  async share(worker: M, changes: RoomChanges): Promise<void> {
    const others = [...this.#members].filter(([other]) => other !== worker);
    const own = this.#members.get(worker) ?? this.#introduce(worker, others);
    applyChanges(own.rooms, changes);
    const notifying = others.map(([{ link }]) => link.call('peerRooms', worker.id, changes).catch(() => {}));
    if (changes.added.length === 0) return;
    const notified = Promise.all(notifying);
    if (await isInTime(notified, this.#timeoutMs)) return;
    if (own.late.isClosed) own.late = { waiting: 0, isClosed: false };
    const { late } = own;
    late.waiting += 1;
    void notified.then(() => {
      late.isClosed = true;
      late.waiting -= 1;
      if (late.waiting === 0) worker.notify('missed');
    });
  }

  /** Call this when the worker has ended. */
  remove(worker: M): void {
    this.#members.delete(worker);
    for (const other of this.#members.keys()) other.notify('peerRooms', worker.id, null);
  }

  #introduce(worker: M, others: readonly [M, Shared][]): Shared {
    const own = { rooms: new Set<string>(), late: { waiting: 0, isClosed: false } };
    this.#members.set(worker, own);
    for (const [{ id }, { rooms }] of others) worker.notify('peerRooms', id, { added: [...rooms], removed: [] });
    return own;
  }
}
