import type { Operation } from './api.ts';
import { Backoff } from './backoff.ts';
import { ChatClientError } from './errors.ts';
import type { Message } from './message.ts';
import type { RoomConnection } from './room-connection.ts';
import type { Ack, RequestName, RequestPayload } from './wire.ts';

/** Something that the user does: a message, an edit, a deletion, a reaction, a mark or a personal setting. */
export interface Action<T = unknown, N extends RequestName = RequestName> {
  name: N;
  /** The `client_msg_id` of a message. All other actions have a key. */
  id?: string;
  /** Of two actions with the same key, the later one overtakes the earlier one. */
  key?: string;
  /** Whether it may be sent before the room is joined, because it does not depend on the state of the room. */
  isIndependent?: boolean;
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
  /** By their `client_msg_id`, in the order of sending. */
  readonly messages = new Map<string, QueuedAction>();
  /** The actions that are not messages. */
  readonly changes = new Set<QueuedAction>();
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

  has(queued: QueuedAction): boolean {
    return this.changes.has(queued) || this.messages.get(queued.action.id!) === queued;
  }

  /** Puts the action at the end of the queue. */
  enqueue(queued: QueuedAction): void {
    this.remove(queued);
    if (this.messages.size + this.changes.size >= this.#connection.limits.maxOutbox)
      return this.#end(queued, new ChatClientError('LIMIT', "The room's outbox is full: discard or wait"));
    const { id } = queued.action;
    if (id === undefined) this.changes.add(queued);
    else this.messages.set(id, queued);
    this.#room.onChanged(queued);
    this.sendNext();
  }

  /** Adds a message that was in the outbox of an earlier client, or reports that it looks different now. */
  restore(queued: QueuedAction, error?: ChatClientError): void {
    this.messages.set(queued.action.id!, queued);
    if (error) queued.end(error, undefined);
    this.#room.onChanged(queued);
    this.sendNext();
  }

  show(message: Message): Message {
    let shown = message;
    for (const { action } of this.changes)
      if (action.show && action.seqs!.includes(message.seq)) shown = action.show(shown);
    return shown;
  }

  /** Ends an action that the log shows to be stored, or that no longer applies, as if the service had acknowledged it. */
  settle(queued: QueuedAction, result: unknown): void {
    this.#end(queued, undefined, result);
    this.sendNext();
  }

  settleChanges(matches: (queued: QueuedAction) => boolean, result: unknown): void {
    for (const queued of [...this.changes].filter(matches)) this.#end(queued, undefined, result);
    this.sendNext();
  }

  remove(queued: QueuedAction): void {
    if (!this.changes.delete(queued) && this.has(queued)) this.messages.delete(queued.action.id!);
  }

  discard(queued: QueuedAction): void {
    this.remove(queued);
    this.#room.onChanged(queued);
  }

  /** Call this after a reconnect. What waits for a retry is sent at once. */
  resume(): void {
    for (const { backoff } of this.#all) {
      backoff.stop();
      backoff.reset();
    }
    this.sendNext();
  }

  close(): void {
    for (const queued of this.#all)
      if (queued.state === 'pending') this.#end(queued, new ChatClientError('CLOSED', 'The client is closed'));
  }

  /** Sends all actions that may be sent now. Also call this when the room is joined again. */
  sendNext(): void {
    if (this.#connection.state === 'closed') return this.close();
    // Only changes of the same message can overtake each other, or, without a message, those with the same key.
    const related = new Map<string | number, QueuedAction[]>();
    for (const queued of this.changes)
      for (const subject of listSubjects(queued)) {
        const group = related.get(subject);
        if (group) group.push(queued);
        else related.set(subject, [queued]);
      }
    for (const queued of [...this.changes]) this.#sendChange(queued, related);
    for (const queued of this.messages.values()) {
      if (queued.state !== 'pending') continue;
      if (!queued.isSending && !queued.backoff.isWaiting) this.#send(queued);
      // The messages behind it wait for its answer.
      break;
    }
  }

  get #all(): QueuedAction[] {
    return [...this.messages.values(), ...this.changes];
  }

  #sendChange(queued: QueuedAction, related: ReadonlyMap<string | number, readonly QueuedAction[]>): void {
    const { action, isSending, backoff } = queued;
    if (!this.changes.has(queued) || isSending) return;
    let isBlocked = false;
    for (const subject of listSubjects(queued)) {
      let isNewer = false;
      for (const other of related.get(subject)!) {
        if (other === queued) isNewer = true;
        else if (!this.changes.has(other)) continue;
        else if (isNewer && overtakes(other.action, action)) return this.#overtake(queued, other);
        // All earlier changes that this one overtakes are being sent.
        else if (!isNewer && overtakes(action, other.action)) isBlocked = true;
      }
    }
    if (!isBlocked && !backoff.isWaiting) this.#send(queued);
  }

  #send(queued: QueuedAction): void {
    const { action } = queued;
    const { link } = this.#connection;
    if (!link || (action.key && !action.isIndependent && !this.#room.isReady())) return;
    const { outboxHours } = this.#connection.limits;
    if (action.id && Date.now() - queued.createdAt > outboxHours * 3_600_000) {
      this.#end(queued, new ChatClientError('EXPIRED', `Not sent within ${outboxHours} hours: retry or discard it`));
      return this.sendNext();
    }
    queued.isSending = queued.wasSent = true;
    link.request(
      action.name,
      action.toPayload(queued.overtaken.map((other) => other.action)),
      (error, ack) => {
        // While the answer is applied, the action must not be sent again.
        if (error) queued.isSending = false;
        if (queued.state === 'pending' && this.has(queued)) {
          if (!error) {
            // Removed first, so that a message changes once: from the pending to the confirmed state.
            if (action.key) this.remove(queued);
            const result = action.confirm(ack as never);
            // The log may have shown it meanwhile.
            if (queued.state === 'pending') this.#end(queued, undefined, result);
          } else if (error.isConnectionLoss) return;
          else if (queued.isFinal(error)) this.#end(queued, error);
          else queued.backoff.wait(() => this.sendNext(), error.retryAfterMs);
        }
        this.sendNext();
      },
      () => this.has(queued),
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
    if (queued.action.key) this.remove(queued);
    for (const each of [...queued.overtaken, queued]) each.end(error, result);
    this.#room.onChanged(queued);
  }
}

const listSubjects = ({ action }: QueuedAction): readonly (string | number)[] => action.seqs ?? [action.key!];

const overtakes = (newer: Action, older: Action): boolean =>
  newer.key !== undefined &&
  (newer.key === older.key ||
    (newer.name === 'message:delete' &&
      older.name !== newer.name &&
      newer.seqs!.some((seq) => older.seqs?.includes(seq))));

/** An action that the service may not have acknowledged yet. */
export class QueuedAction<T = unknown> implements Operation<T> {
  declare state: Operation<T>['state'];
  declare error: ChatClientError | undefined;
  declare confirmed: Promise<T>;
  readonly action: Action<T>;
  /** Earlier actions that end together with this one. */
  readonly overtaken: QueuedAction[] = [];
  isSending = false;
  /** Whether the action was sent. The service may have applied it, even if its answer is missing. */
  declare wasSent: boolean;
  /** When the application has created or retried it. */
  declare createdAt: number;
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
    this.createdAt = Date.now();
    this.confirmed = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Without this, a failure would cause an unhandled rejection if the application does not use the promise.
    this.confirmed.catch(() => {});
  }
}
