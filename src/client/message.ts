import type { CustomData, ReactionCount, ReactionDelta, ServerEventPayloads, WireMessage } from './wire.ts';

type Defaulted =
  | 'reply_to'
  | 'thread'
  | 'mention_room'
  | 'custom'
  | 'silent'
  | 'editedAt'
  | 'deletedAt'
  | 'deleted_by'
  | 'reactions';

/** A message as the service describes it. Fields that the service omits have a default. */
export interface Message extends Omit<Required<WireMessage>, Defaulted> {
  /** The `seq` of the message that it quotes. */
  reply_to: number | null;
  /** The `seq` of the root of its thread. */
  thread: number | null;
  mention_room: boolean;
  custom: CustomData | null;
  silent: boolean;
  editedAt: string | null;
  /** When the message was deleted. Its content is then empty. */
  deletedAt: string | null;
  deleted_by: string | null;
  reactions: readonly ReactionCount[];
  /** Set while an edit or a deletion waits for the answer of the service. */
  pending?: 'edit' | 'delete';
}

/** What the service omits. */
export const defaults = {
  reply_to: null,
  thread: null,
  mentions: [],
  mention_room: false,
  custom: null,
  silent: false,
  editedAt: null,
  deletedAt: null,
  deleted_by: null,
  reactions: [],
  replies: { count: 0, last_seq: 0 },
};

/** Splits an event into the message and the rest. */
export function splitPayload(payload: ServerEventPayloads['message:new' | 'message:changed']) {
  const { rev, cursor, root, changes, ...message } = payload;
  return { rev, root, message: message as WireMessage };
}

export const toMessage = (message: WireMessage): Message => ({ ...defaults, ...message });

/**
 * Returns the newer of two copies of a message. A deleted copy is always the newer, because a deletion is final;
 * otherwise the greater version decides. A live event has no reactions and replies, so those of the present copy are
 * kept.
 */
export function mergeVersions(present: Message, { reactions: _, replies: __, ...other }: WireMessage): Message {
  const isNewer = other.deletedAt
    ? other.version !== present.version
    : !present.deletedAt && other.version > present.version;
  if (!isNewer) return present;
  const { reactions, replies } = present;
  return { ...defaults, ...other, reactions: other.deletedAt ? [] : reactions, replies };
}

/**
 * Returns the tombstone of a message whose deletion is acknowledged, until the change arrives with the exact dates. The
 * version is unchanged, so that the tombstone of the log replaces this tombstone.
 */
export function toTombstone(message: Message, deleted_by: string | undefined): Message {
  const { mentions, mention_room, custom, editedAt, reactions } = defaults;
  const now = new Date().toISOString();
  return {
    ...{ ...message, content: '', mentions, mention_room, custom, editedAt, reactions },
    ...{ updatedAt: now, deletedAt: now, deleted_by: deleted_by ?? null },
  };
}

/** Two emojis that differ only in a variation selector are the same. */
export const isSameEmoji = (a: string, b: string): boolean =>
  a.replace(/[\uFE0E\uFE0F]/g, '') === b.replace(/[\uFE0E\uFE0F]/g, '');

/**
 * Adds `mine` to the reactions of an event, which contains it only in answers to this client. Otherwise it remains as
 * before, except for reactions that the client's user has added or removed.
 */
export function keepMine(
  { reactions, changes }: { reactions: readonly ReactionCount[]; changes?: readonly ReactionDelta[] | undefined },
  before: readonly ReactionCount[] | undefined,
  user: string | undefined,
): ReactionCount[] {
  return reactions.map(({ emoji, count, mine }) => {
    const own = changes?.findLast((change) => change.user === user && isSameEmoji(change.emoji, emoji));
    const isMine = mine || (own ? own.added : before?.some((other) => other.mine && isSameEmoji(other.emoji, emoji)));
    return { emoji, count, ...(isMine && { mine: true as const }) };
  });
}

/** The reactions as they will be when the service has added or removed the reaction of the client's user. */
export function toggleReaction(reactions: readonly ReactionCount[], emoji: string, isAdded: boolean): ReactionCount[] {
  const index = reactions.findIndex((reaction) => isSameEmoji(reaction.emoji, emoji));
  const { mine, ...present } = reactions[index] ?? { emoji, count: 0 };
  if (Boolean(mine) === isAdded) return [...reactions];
  const next = { ...present, count: present.count + (isAdded ? 1 : -1), ...(isAdded && { mine: true as const }) };
  const all = index < 0 ? [...reactions, next] : reactions.with(index, next);
  return all.filter(({ count }) => count > 0);
}

/**
 * Declared here, because the project compiles without the types of the DOM. `randomUUID` does not exist in React Native,
 * nor on pages without https.
 */
const { crypto } = globalThis as { crypto?: { randomUUID?(): string } };

const createDigits = () => Math.random().toString(36).slice(2);

/** Creates a `client_msg_id`. It only has to be unique among the messages of one user in one room. */
export function createMessageId(): string {
  return crypto?.randomUUID?.() ?? `${Date.now().toString(36)}-${createDigits()}-${createDigits()}`;
}
