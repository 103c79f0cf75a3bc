import { ChatClientError, type ClientErrorCode } from './errors.ts';
import type { QueuedMessage } from './outbox.ts';
import type { Room } from './room.ts';
import type { Records, StorageOp } from './storage-records.ts';

/** A message of the outbox, as it is stored. */
interface SavedMessage {
  ref: number | string;
  id: string;
  content: string;
  options: QueuedMessage['options'];
  /** When the user has sent it, and its position among the messages with the same time. */
  at: number;
  n: number;
  /** Why it has failed. */
  error?: { code: ClientErrorCode; message: string; field?: string | undefined } | undefined;
}

interface Written {
  state: QueuedMessage['state'];
  createdAt: number;
}

const outboxGroup = (tab: string): string => `outbox:${tab}/`;

/** The tabs that have unsent messages. */
export const listOutboxes = (records: Records): string[] =>
  [...records.groups.keys()].flatMap((group) => /^outbox:(.+)\/$/.exec(group)?.[1] ?? []);

/** Returns the messages of a tab that has ended. */
export function readOutbox(records: Records, tab: string): SavedMessage[] {
  const saved = records.list(outboxGroup(tab)).flatMap(({ value }) => {
    try {
      return [JSON.parse(value) as SavedMessage];
    } catch {
      return [];
    }
  });
  return saved.sort((a, b) => a.at - b.at || a.n - b.n);
}

export const deleteOutbox = (tab: string): StorageOp => ({ delete: outboxGroup(tab) });

/** Adds the message to the outbox of the room, unless it is there. */
export function restoreMessage(room: Room, { id, content, options, at, error }: SavedMessage): void {
  const { queue, queuedMessages } = room;
  if (queue.messages.has(id)) return;
  const queued = queuedMessages.create(content, options, id);
  queued.createdAt = at;
  const { code, message, field } = error ?? {};
  queue.restore(queued, code && new ChatClientError(code, message!, { field }));
}

/** Moves older messages to the front: those that were restored after the user had already sent new ones. */
export function sortOutbox({ queue: { messages } }: Room): void {
  const sorted = [...messages].sort(([, a], [, b]) => a.createdAt - b.createdAt);
  messages.clear();
  for (const [id, queued] of sorted) messages.set(id, queued);
}

/** Stores the messages that a tab has not sent yet. */
export class StoredOutbox {
  readonly #tab: string;
  /** Whether stored messages survive a restart. */
  readonly #isDurable: boolean;
  readonly #written = new Map<Room, Map<QueuedMessage, Written>>();
  #count = 0;

  constructor(tab: string, isDurable: boolean) {
    this.#tab = tab;
    this.#isDurable = isDurable;
  }

  isUsed(room: Room): boolean {
    return room.queue.messages.size > 0 || this.#written.has(room);
  }

  /** Returns what has to be written for the room, and the messages that are stored then. */
  collect(room: Room): { ops: StorageOp[]; messages: QueuedMessage[] } {
    const written = this.#written.get(room) ?? new Map<QueuedMessage, Written>();
    const ops: StorageOp[] = [];
    const messages: QueuedMessage[] = [];
    for (const queued of room.queue.messages.values() as Iterable<QueuedMessage>) {
      const { state, createdAt } = queued;
      if (state === 'sent') continue;
      messages.push(queued);
      const known = written.get(queued);
      if (known?.state === state && known.createdAt === createdAt) continue;
      written.set(queued, { state, createdAt });
      ops.push({ put: { key: this.#toKey(queued), version: 0, value: JSON.stringify(this.#toSaved(room, queued)) } });
    }
    const unsent = new Set(messages);
    for (const queued of written.keys()) {
      if (unsent.has(queued)) continue;
      written.delete(queued);
      ops.push({ delete: this.#toKey(queued) });
    }
    if (written.size > 0) this.#written.set(room, written);
    else this.#written.delete(room);
    return { ops, messages };
  }

  /** Call this when the messages that `collect` returned are stored. */
  confirm(room: Room, messages: readonly QueuedMessage[]): void {
    for (const queued of messages) {
      if (queued.saved || !this.#isDurable || !room.queue.has(queued)) continue;
      queued.saved = true;
      room.queue.restore(queued);
    }
  }

  /** Call this if nothing is stored any more, or could not be written. */
  forget(room: Room): void {
    const messages = [...(this.#written.get(room)?.keys() ?? [])];
    this.#written.delete(room);
    for (const queued of messages) {
      if (!queued.saved || !room.queue.has(queued)) continue;
      queued.saved = false;
      room.queue.restore(queued);
    }
  }

  #toKey({ client_msg_id }: QueuedMessage): string {
    return outboxGroup(this.#tab) + client_msg_id;
  }

  #toSaved(room: Room, { client_msg_id: id, content, options, createdAt: at, error }: QueuedMessage): SavedMessage {
    const { code, message, field } = error ?? {};
    // A message whose client was closed has not failed for the next client.
    const failure = code && code !== 'CLOSED' ? { error: { code, message: message!, field } } : {};
    return { ref: room.ref, id, content, options, at, n: this.#count++, ...failure };
  }
}
