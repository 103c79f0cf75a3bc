import type { Operation } from './api.ts';
import { Backoff } from './backoff.ts';
import { ChatClientError } from './errors.ts';
import type { Message } from './message.ts';
import type { RoomConnection } from './room-connection.ts';
import type { Ack, RequestName, RequestPayload } from './wire.ts';

/** Something that the user does: a message, an edit, a deletion, a reaction, a mark or a personal setting. */
export interface Action<T = unknown, N extends RequestName = RequestName> {
  name: N;
  /** Of two actions with the same key, the later one overtakes the earlier one. A message has no key. */
  key?: string;
  /** The `seq` of each message that it changes. */
  seqs?: readonly number[];
  /** Called for each attempt, with the earlier actions that this one has overtaken. */
  toPayload(overtaken: readonly Action[]): RequestPayload<N>;
  /** Called with the acknowledgement. Returns the result for the application. */
  confirm(ack: Ack<N>): T;
  /** How the message looks until the acknowledgement arrives. */
  show?(message: Message): Message;
  /** Bases the action on this version of the message, by default on the current version. */
  restart?(version?: number): void;
}

interface QueueRoom {
  /** Whether changes may be sent: not before the room has received what it missed. Messages do not wait for that. */
  isReady(): boolean;
  onChanged(queued: QueuedAction): void;
}

/** An action fails after this many `INTERNAL` errors, so that it does not block others forever. */
const maxInternalErrors = 5;

/**
 * The actions of a room that the service has not acknowledged yet.
 *
 * Messages are sent one at a time: otherwise, if the service refused one of them temporarily, the next one could overtake
 * it. They stay in the queue when they are sent or have failed, until the room removes them. All other actions leave the
 * queue then, and those with different keys are sent at the same time. Only the newest of those with the same key is
 * sent, or repeated after a reconnect.
 */
export class ActionQueue {
  all: readonly QueuedAction[] = [];
  readonly #connection: RoomConnection;
  readonly #room: QueueRoom;

  constructor(connection: RoomConnection, room: QueueRoom) {
    this.#connection = connection;
    this.#room = room;
  }

  add<T, N extends RequestName>(action: Action<T, N>): QueuedAction<T> {
    const queued = this.create(action);
    this.enqueue(queued as QueuedAction);
    return queued;
  }

  create<T, N extends RequestName>(action: Action<T, N>): QueuedAction<T> {
    return new QueuedAction<T>(action as unknown as Action<T>, this, new Backoff(this.#connection.limits));
  }

  /** Returns an action that has already succeeded, for a change that needs no request. */
  createSettled<T>(result: T): QueuedAction<T> {
    const queued = this.create<T, RequestName>({} as never);
    queued.end(undefined, result);
    return queued;
  }

  /** Puts the action at the end of the queue. */
  enqueue(queued: QueuedAction): void {
    const others = this.all.filter((other) => other !== queued);
    if (others.length >= this.#connection.limits.maxOutbox)
      return this.#end(queued, new ChatClientError('LIMIT', "The room's outbox is full: discard or wait"));
    this.all = [...others, queued];
    this.#room.onChanged(queued);
    this.sendNext();
  }

  show(message: Message): Message {
    return this.all.reduce(
      (shown, { action: { seqs, show } }) => (show && seqs!.includes(message.seq) ? show(shown) : shown),
      message,
    );
  }

  /** Ends actions that the log shows to be stored, or that no longer apply, as if the service had acknowledged them. */
  settleWhere(matches: (queued: QueuedAction) => boolean, result: unknown): void {
    for (const queued of this.all.filter(matches)) this.#end(queued, undefined, result);
    this.sendNext();
  }

  remove(isRemoved: (queued: QueuedAction) => boolean): void {
    this.all = this.all.filter((queued) => !isRemoved(queued));
  }

  discard(queued: QueuedAction): void {
    this.remove((other) => other === queued);
    this.#room.onChanged(queued);
  }

  /** Call this after a reconnect. What waits for a retry is sent at once. */
  resume(): void {
    for (const { backoff } of this.all) {
      backoff.stop();
      backoff.reset();
    }
    this.sendNext();
  }

  close(): void {
    for (const queued of this.all)
      if (queued.state === 'pending') this.#end(queued, new ChatClientError('CLOSED', 'The client is closed'));
  }

  /** Sends all actions that may be sent now. Also call this when the room is joined again. */
  sendNext(): void {
    if (this.#connection.state === 'closed') return this.close();
    let isBlocked = false;
    for (const queued of this.all) {
      const { action, state, isSending, backoff } = queued;
      if (state !== 'pending') continue;
      if (action.key) this.#sendChange(queued);
      else {
        if (!isBlocked && !isSending && !backoff.isWaiting) this.#send(queued);
        isBlocked = true;
      }
    }
  }

  #sendChange(queued: QueuedAction): void {
    const { action, isSending, backoff } = queued;
    const index = this.all.indexOf(queued);
    if (index < 0 || isSending) return;
    const newer = this.all.slice(index + 1).find((other) => overtakes(other.action, action));
    if (newer) return this.#overtake(queued, newer);
    // All earlier changes that this one overtakes are being sent.
    const isBlocked = this.all.slice(0, index).some((other) => overtakes(action, other.action));
    if (!isBlocked && !backoff.isWaiting) this.#send(queued);
  }

  #send(queued: QueuedAction): void {
    const { action } = queued;
    const { link } = this.#connection;
    if (!link || (action.key && !this.#room.isReady())) return;
    queued.isSending = queued.wasSent = true;
    link.request(
      action.name,
      action.toPayload(queued.overtaken.map((other) => other.action)),
      (error, ack) => {
        // While the answer is applied, the action must not be sent again.
        if (error) queued.isSending = false;
        if (queued.state === 'pending' && this.all.includes(queued)) {
          if (!error) {
            // Removed first, so that a message changes once: from the pending to the confirmed state.
            if (action.key) this.remove((other) => other === queued);
            const result = action.confirm(ack as never);
            // The log may have shown it meanwhile.
            if (queued.state === 'pending') this.#end(queued, undefined, result);
          } else if (error.isConnectionLoss) return;
          else if (queued.isFinal(error)) this.#end(queued, error);
          else queued.backoff.wait(() => this.sendNext(), error.retryAfterMs);
        }
        this.sendNext();
      },
      () => this.all.includes(queued),
    );
  }

  /** Ends the action with the result of the newer action that overtook it, unless the newer action is a deletion. */
  #overtake(queued: QueuedAction, newer: QueuedAction): void {
    if (newer.action.key !== queued.action.key)
      return this.#end(queued, new ChatClientError('DELETED', 'The message was deleted meanwhile'));
    queued.backoff.stop();
    newer.overtaken.push(...queued.overtaken, queued);
    this.discard(queued);
  }

  #end(queued: QueuedAction, error: ChatClientError | undefined, result?: unknown): void {
    queued.backoff.stop();
    if (queued.action.key) this.remove((other) => other === queued);
    for (const each of [...queued.overtaken, queued]) each.end(error, result);
    this.#room.onChanged(queued);
  }
}

const overtakes = (newer: Action, older: Action): boolean =>
  newer.key !== undefined &&
  (newer.key === older.key ||
    (newer.name === 'message:delete' &&
      older.name !== newer.name &&
      newer.seqs!.some((seq) => older.seqs?.includes(seq))));

/** An action that the service may not have acknowledged yet. */
export class QueuedAction<T = unknown> implements Operation<T> {
  state!: Operation<T>['state'];
  error: ChatClientError | undefined;
  confirmed!: Promise<T>;
  readonly action: Action<T>;
  /** Earlier actions that end together with this one. */
  readonly overtaken: QueuedAction[] = [];
  isSending = false;
  /** Whether the action was sent. The service may have applied it, even if its answer is missing. */
  wasSent!: boolean;
  readonly backoff: Backoff;
  readonly #queue: ActionQueue;
  #internalErrors!: number;
  #settle!: { resolve(result: T): void; reject(error: ChatClientError): void };

  constructor(action: Action<T>, queue: ActionQueue, backoff: Backoff) {
    this.action = action;
    this.backoff = backoff;
    this.#queue = queue;
    this.#start();
  }

  retry(): void {
    if (this.state !== 'failed') return;
    this.action.restart?.();
    this.#start();
    this.#queue.enqueue(this as QueuedAction);
  }

  discard(): void {
    if (this.state === 'failed') this.#queue.discard(this as QueuedAction);
  }

  /** May also be called for a failed action: the service may have applied it, although the client got no answer. */
  end(error: ChatClientError | undefined, result: unknown): void {
    if (this.state === 'failed') this.#start();
    this.state = error ? 'failed' : 'sent';
    this.error = error;
    if (error) this.#settle.reject(error);
    else this.#settle.resolve(result as T);
  }

  /** Whether a retry makes no sense after this refusal. */
  isFinal({ code, isRetryable }: ChatClientError): boolean {
    if (code === 'INTERNAL') this.#internalErrors += 1;
    return !isRetryable || this.#internalErrors >= maxInternalErrors;
  }

  #start(): void {
    this.state = 'pending';
    this.error = undefined;
    this.overtaken.length = this.#internalErrors = 0;
    this.wasSent = false;
    this.confirmed = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Without this, a failure would cause an unhandled rejection if the application does not use the promise.
    this.confirmed.catch(() => {});
  }
}
