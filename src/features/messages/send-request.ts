import { type Actor, type Decision, type service, toDenialCode } from '../../core/authorization.ts';
import type { RoomBus } from '../../core/bus.ts';
import { ChatError } from '../../core/errors.ts';
import type { RoomId } from '../../core/ids.ts';
import type { AppendResult } from '../../core/log/append-messages.ts';
import type { MessageChange } from '../../core/log/change.ts';
import type { Message } from '../../core/log/message.ts';
import { messageFlags } from '../../core/log/message.ts';
import type { OperationRequest, OperationResult, RichContent } from '../../core/log/operation.ts';
import type { RightsCache } from '../../core/log/rights-cache.ts';

export interface SendRequest {
  actor: Actor;
  room_id: RoomId;
  content: string;
  client_msg_id: string | null;
  /** The fields of a message that is more than plain text. */
  extras?: Omit<RichContent, 'content' | 'client_msg_id'> | undefined;
  /** Called after the commit, before the message is published to subscribers. */
  onStored?: ((change: MessageChange) => void) | undefined;
}

export interface StoredMessage {
  change: MessageChange;
  duplicate: boolean;
}

/** An edit, a deletion or a reaction. */
export interface WriteRequest {
  actor: Actor | typeof service;
  room_id: RoomId;
  operation: Exclude<OperationRequest, { kind: 'send' }>;
}

/** The result of an operation that has succeeded. */
export type AppliedOperation = Extract<OperationResult, { outcome: 'edited' | 'deleted' | 'reacted' | 'unchanged' }>;

export interface QueuedSend extends SendRequest {
  type: 'message';
  resolve(stored: StoredMessage): void;
  reject(error: ChatError): void;
  /** How often the log has rejected the message because the cached rules were outdated. */
  staleCount: number;
  queuedAt: number;
  /** An upper bound of the memory that the queued message needs. */
  bytes: number;
}

export interface SendEvents {
  /** The database has answered a batch of this many messages, or failed, after this many seconds. */
  committed(messages: number, seconds: number): void;
  /** A message was stored and published this many seconds after it was queued. */
  stored(seconds: number): void;
  /** A retry was answered with the message that was stored first. */
  deduplicated(): void;
}

interface Collaborators {
  rights: RightsCache;
  bus: RoomBus;
  events: SendEvents | undefined;
}

export type SettleSend = (queued: QueuedSend, decision: Decision, result: AppendResult | ChatError) => void;

/** Creates a function that publishes a message if it was stored, and settles its promise in any case. */
export function createSettleSend({ rights, bus, events }: Collaborators): SettleSend {
  function settle(queued: QueuedSend, decision: Decision, result: AppendResult | ChatError): void {
    if (result instanceof ChatError) return queued.reject(result);
    switch (result.outcome) {
      case 'stored':
        queued.onStored?.(result.change);
        bus.publish(result.change);
        queued.resolve({ change: result.change, duplicate: false });
        return events?.stored((performance.now() - queued.queuedAt) / 1_000);
      case 'duplicate':
        queued.resolve(toDuplicate(result.change, queued));
        return events?.deduplicated();
      case 'refused':
        return queued.reject(new ChatError(toDenialCode(decision)));
      case 'gone':
        rights.invalidate(queued.room_id);
        return queued.reject(new ChatError('NOT_FOUND'));
      case 'stale':
      case 'busy':
        return queued.reject(new ChatError('UNAVAILABLE'));
    }
  }

  return (queued, decision, result) => {
    try {
      settle(queued, decision, result);
    } catch (error) {
      // A callback may throw as well. The rest of the batch must still be settled.
      queued.reject(ChatError.from(error));
    }
  };
}

type Append = (request: SendRequest) => Promise<StoredMessage>;

/**
 * The answer to a retried message: the stored message. Throws `ID_REUSED` if the retry has other contents. After an
 * edit or a deletion, the first contents are gone, so any retry is accepted.
 */
export function toDuplicate(first: MessageChange, request: SendRequest): StoredMessage {
  if (first.message.version !== first.rev || hasSameContents(first.message, request))
    return { change: toVersionedChange(first), duplicate: true };
  throw new ChatError('ID_REUSED', { field: 'client_msg_id' });
}

/**
 * The acknowledgement describes the message as it was at `rev`. If the message has been changed, `rev` is that of its
 * current version. Reactions and replies may be newer than that, so the acknowledgement omits them; clients keep those
 * that they have.
 */
export function toVersionedChange({ root: _, ...change }: MessageChange): MessageChange {
  const { reactions: __, replies: ___, ...message } = change.message;
  if (message.version === change.rev) return { ...change, message };
  return { ...change, rev: message.version, at: Date.parse(message.updatedAt), message };
}

function hasSameContents(message: Message, { content, extras }: SendRequest): boolean {
  const { reply_to = null, thread = null, custom, mentions = [], mention_room = false } = message;
  if (message.content !== content || reply_to !== (extras?.reply_to ?? null) || thread !== (extras?.thread ?? null))
    return false;
  if ((custom === undefined ? null : JSON.stringify(custom)) !== (extras?.custom ?? null)) return false;
  const flags = extras?.flags ?? 0;
  return (
    mentions.join() === (extras?.mentions ?? []).join() && mention_room === ((flags & messageFlags.mentionRoom) !== 0)
  );
}

/**
 * Wraps `append`. A retry of a message that is not stored yet waits for the result of the first attempt, so that no
 * batch contains the same client_msg_id twice. If the first attempt fails, a retry from the same connection fails too.
 * A retry from another connection is appended itself, because its token may have other rights.
 */
export function dedupeInFlight(append: Append): Append {
  const inFlight = new Map<string, { request: SendRequest; stored: Promise<StoredMessage> }>();

  return function appendOnce(request): Promise<StoredMessage> {
    if (request.client_msg_id === null) return append(request);
    const key = `${request.room_id}/${request.actor.user}/${request.client_msg_id}`;
    const first = inFlight.get(key);
    if (first) {
      return first.stored.then(
        ({ change }) => toDuplicate(change, request),
        (error) => {
          if (first.request.actor === request.actor) throw error;
          return appendOnce(request);
        },
      );
    }
    const stored = append(request);
    inFlight.set(key, { request, stored });
    const forget = () => void inFlight.delete(key);
    stored.then(forget, forget);
    return stored;
  };
}
