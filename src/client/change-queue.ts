import type { Operation } from './api.ts';
import { computeBackoffMs, type RoomConnection } from './connection.ts';
import { ChatClientError } from './errors.ts';
import type { Message } from './message.ts';
import { PendingOperation } from './operation.ts';
import type { Ack, RequestName, RequestPayload } from './wire.ts';

/** A change that the user makes: an edit, a deletion, a reaction or a mark. */
export interface UserChange<T = unknown, N extends RequestName = RequestName> {
  name: N;
  /** Of two changes with the same key, the later one overtakes the earlier one. */
  key: string;
  /** The `seq` of each message that it changes. */
  seqs: readonly number[];
  /** Called for each attempt. */
  toPayload(attempt: { overtaken: readonly UserChange[] }): RequestPayload<N>;
  /** Called with the acknowledgement. Returns the result for the application. */
  confirm(ack: Ack<N>): T;
  /** How the message looks until the acknowledgement arrives. */
  show?(message: Message): Message;
  /** Bases the change on this version of the message, by default on the current version. */
  restart?(version?: number): void;
}

interface QueueRoom {
  /** Whether changes may be sent: not before the room has received what it missed. */
  isReady(): boolean;
  onChanged(seqs: readonly number[]): void;
}

/**
 * The changes of a room that the service has not acknowledged yet. Changes with different keys are sent at the same
 * time. Only the newest of those with the same key is sent, or repeated after a reconnect.
 */
export class ChangeQueue {
  readonly #connection: RoomConnection;
  readonly #room: QueueRoom;
  #all: QueuedChange<never>[] = [];
  #failures = 0;

  constructor(connection: RoomConnection, room: QueueRoom) {
    this.#connection = connection;
    this.#room = room;
  }

  get pending(): readonly UserChange[] {
    return this.#all.map(({ change }) => change);
  }

  add<T, N extends RequestName>(change: UserChange<T, N>): Operation<T> {
    const queued = new QueuedChange<T>(change as unknown as UserChange<T>, this);
    this.enqueue(queued);
    return queued;
  }

  /** Returns an operation that has already succeeded, for a change that needs no request. */
  addSettled<T>(result: T): Operation<T> {
    const queued = new QueuedChange<T>({ seqs: [] } as never, this);
    queued.markSent(result);
    return queued;
  }

  enqueue(queued: QueuedChange<never> | QueuedChange<unknown>): void {
    this.#all = [...this.#all, queued as QueuedChange<never>];
    if (this.#all.length > this.#connection.maxOutbox)
      return this.#fail(queued as never, new ChatClientError('LIMIT', 'Too many changes are pending'));
    this.#room.onChanged(queued.change.seqs);
    this.sendNext();
  }

  show(message: Message): Message {
    return this.pending.reduce(
      (shown, { seqs, show }) => (show && seqs.includes(message.seq) ? show(shown) : shown),
      message,
    );
  }

  /** Ends changes that the log shows to be stored, or that no longer apply, as if the service had acknowledged them. */
  settleWhere(matches: (change: UserChange, wasSent: boolean) => boolean, result: unknown): void {
    for (const queued of this.#all.filter(({ change, wasSent }) => matches(change, wasSent)))
      this.#settle(queued, result as never);
  }

  close(): void {
    for (const queued of this.#all) this.#fail(queued, new ChatClientError('CLOSED', 'The client is closed'));
  }

  /** Sends all changes that may be sent now. Also call this when the room is joined again. */
  sendNext(): void {
    if (this.#connection.state === 'closed') return this.close();
    for (const queued of [...this.#all]) {
      if (queued.isSending) continue;
      const newer = this.#all
        .slice(this.#all.indexOf(queued) + 1)
        .find(({ change }) => overtakes(change, queued.change));
      if (newer) this.#overtake(queued, newer);
      else if (!queued.retryTimer && !this.#all.some((o) => o.isSending && overtakes(queued.change, o.change)))
        this.#send(queued);
    }
  }

  #send(queued: QueuedChange<never>): void {
    const { link } = this.#connection;
    if (!link || !this.#room.isReady()) return;
    const { change } = queued;
    const payload = change.toPayload({ overtaken: queued.overtaken.map((other) => other.change) });
    queued.isSending = queued.wasSent = true;
    link.request(
      change.name,
      payload,
      (error, ack) => {
        queued.isSending = false;
        if (!this.#all.includes(queued)) return;
        if (!error) {
          this.#failures = 0;
          // Removed first, so that the message changes once: from the pending to the confirmed state.
          this.#all = this.#all.filter((other) => other !== queued);
          this.#settle(queued, change.confirm(ack as never) as never);
        } else if (error.isConnectionLoss) return;
        else if (queued.isFinal(error)) this.#fail(queued, error);
        else this.#wait(queued, error.retryAfterMs ?? computeBackoffMs(this.#failures++, this.#connection.timeouts));
        this.sendNext();
      },
      () => this.#all.includes(queued),
    );
  }

  #wait(queued: QueuedChange<never>, delayMs: number): void {
    queued.retryTimer = setTimeout(() => {
      queued.retryTimer = undefined;
      this.sendNext();
    }, delayMs);
  }

  /** Settles the change with the result of the newer change that overtook it, unless the newer change is a deletion. */
  #overtake(queued: QueuedChange<never>, newer: QueuedChange<never>): void {
    if (newer.change.key !== queued.change.key)
      return this.#fail(queued, new ChatClientError('DELETED', 'The message was deleted meanwhile'));
    this.#remove(queued);
    newer.overtaken.push(...queued.overtaken, queued);
  }

  #settle(queued: QueuedChange<never>, result: never): void {
    this.#remove(queued);
    for (const each of [...queued.overtaken, queued]) each.markSent(result);
  }

  #fail(queued: QueuedChange<never>, error: ChatClientError): void {
    this.#remove(queued);
    for (const each of [...queued.overtaken, queued]) each.markFailed(error);
  }

  #remove(queued: QueuedChange<never>): void {
    clearTimeout(queued.retryTimer);
    queued.retryTimer = undefined;
    this.#all = this.#all.filter((other) => other !== queued);
    this.#room.onChanged(queued.change.seqs);
  }
}

function overtakes(newer: UserChange, older: UserChange): boolean {
  if (newer.key === older.key) return true;
  return (
    newer.name === 'message:delete' && older.name !== newer.name && older.seqs.some((seq) => newer.seqs.includes(seq))
  );
}

class QueuedChange<T> extends PendingOperation<T> {
  readonly change: UserChange<T>;
  /** Earlier changes that end together with this one. */
  readonly overtaken: QueuedChange<T>[] = [];
  isSending = false;
  retryTimer: ReturnType<typeof setTimeout> | undefined;
  /** Whether the change was sent. The service may have applied it, even if its answer is missing. */
  wasSent = false;
  readonly #queue: ChangeQueue;

  constructor(change: UserChange<T>, queue: ChangeQueue) {
    super();
    this.change = change;
    this.#queue = queue;
  }

  retry(): void {
    if (this.state !== 'failed') return;
    this.change.restart?.();
    this.overtaken.length = 0;
    this.wasSent = false;
    this.markPending();
    this.#queue.enqueue(this);
  }

  /** Has nothing to remove, because a failed change is in no list. */
  discard(): void {}
}
