import { z } from 'zod';
import { RoomId, Uuid } from '../ids.ts';
import { Room, RuleKind } from '../room.ts';
import { Message, ReactionCount, ReactionDelta, Root } from './message.ts';

/** A rule after a change. `permissions: null` means that the change removed the rule. */
export const Grant = z.object({
  entity_UUID: Uuid,
  kind: RuleKind,
  permissions: z.string().nullable(),
  level: z.number().int(),
  accepted: z.boolean().nullable(),
});
export type Grant = z.infer<typeof Grant>;

/**
 * The user who made the change. Null if the service made it. Null or missing if an earlier version stored the change
 * without its author.
 */
const by = Uuid.nullish();
const position = { room_id: RoomId, rev: z.number().int().positive(), at: z.number().int() };

/**
 * The schemas of changes, by kind. Nodes send changes to each other in this form. `change-kinds.ts` defines the
 * behaviour of each kind.
 */
export const changeSchemas = {
  message: z.object({
    kind: z.literal('message'),
    ...position,
    message: Message,
    root: Root.optional(),
    /** In a replay: the reactions that were added and removed since the message was sent. */
    changes: z.array(ReactionDelta).optional(),
  }),
  /** An edit or a deletion, or, in a replay, any change of a message. */
  revision: z.object({
    kind: z.literal('revision'),
    ...position,
    message: Message,
    root: Root.optional(),
    changes: z.array(ReactionDelta).optional(),
  }),
  reactions: z.object({
    kind: z.literal('reactions'),
    ...position,
    seq: z.number().int(),
    reactions: z.array(ReactionCount),
    changes: z.array(ReactionDelta),
  }),
  /** An entry whose message the replay has already delivered in its current state. */
  skipped: z.object({ kind: z.literal('skipped'), ...position }),
  member: z.object({ kind: z.literal('member'), ...position, by, rule: Grant }),
  room: z.object({ kind: z.literal('room'), ...position, by, room: Room }),
};

export type ChangeKind = keyof typeof changeSchemas;
export type ChangeByKind<K extends ChangeKind> = z.infer<(typeof changeSchemas)[K]>;
export type MessageChange = ChangeByKind<'message'>;
export type MemberChange = ChangeByKind<'member'>;
export type RevisionChange = ChangeByKind<'revision'>;

/** One entry of a room's log. */
export type Change = { [K in ChangeKind]: ChangeByKind<K> }[ChangeKind];

/**
 * A message on the room bus: a change, `deleted` or `unknown`. `deleted` means that the room and its log were deleted.
 * `unknown` replaces a change that a node with a newer version published, if this version does not know its kind.
 */
export type BusMessage = Change | { kind: 'deleted'; room_id: RoomId } | { kind: 'unknown'; room_id: RoomId };

const Published = z.object({ kind: z.string().min(1), room_id: RoomId });
const published = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('deleted'), room_id: RoomId }),
  ...Object.values(changeSchemas),
]);
const publishedKinds = new Set([...Object.keys(changeSchemas), 'deleted']);

/** Nodes of the previous version publish messages without a version. Such a message was never edited. */
function addVersion(input: unknown): unknown {
  const change = input as { rev?: unknown; message?: { version?: unknown } } | null | undefined;
  if (typeof change?.message !== 'object' || change.message === null || change.message.version !== undefined)
    return input;
  return { ...change, message: { ...change.message, version: change.rev } };
}

const isId = (value: unknown) => Number.isSafeInteger(value) && (value as number) > 0;
const lowerUuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const datePattern = z.regexes.datetime({});
const isDate = (value: unknown) => typeof value === 'string' && datePattern.test(value);

/**
 * Whether the input is the change of a message that has only the required fields. Most changes are, and the schema takes
 * some microseconds for each. It would return such an input unchanged.
 */
function isPlainMessageChange(input: unknown): input is MessageChange {
  const { kind, room_id, rev, at, message } = (input ?? {}) as Record<string, unknown>;
  if (kind !== 'message' || !isId(room_id) || !isId(rev) || !Number.isSafeInteger(at)) return false;
  if (typeof message !== 'object' || message === null || Object.keys(input as object).length !== 5) return false;
  const { id, seq, emitter, content, client_msg_id, createdAt, updatedAt, version } = message as Record<
    string,
    unknown
  >;
  return (
    Object.keys(message).length === 9 &&
    isId((message as Record<string, unknown>).room_id) &&
    [id, seq, version].every(Number.isSafeInteger) &&
    typeof emitter === 'string' &&
    lowerUuid.test(emitter) &&
    typeof content === 'string' &&
    (client_msg_id === null || typeof client_msg_id === 'string') &&
    isDate(createdAt) &&
    isDate(updatedAt)
  );
}

/** Parses a message that another node has published. Returns undefined if it is invalid. */
export function parseBusMessage(input: unknown): BusMessage | undefined {
  if (isPlainMessageChange(input)) return input;
  const known = published.safeParse(addVersion(input));
  if (known.success) return known.data;
  const other = Published.safeParse(input);
  if (!other.success || publishedKinds.has(other.data.kind)) return undefined;
  return { kind: 'unknown', room_id: other.data.room_id };
}

/** The log contains a change of a kind that this version does not know. A newer version has written it. */
export class UnknownChangeKindError extends Error {
  readonly room_id: RoomId;
  readonly rev: number;
  readonly kind: string;

  constructor({ room_id, rev, kind }: { room_id: RoomId; rev: number; kind: string }) {
    super(`The log of room ${room_id} has a change of the unknown kind "${kind}" at rev ${rev}`);
    this.name = 'UnknownChangeKindError';
    this.room_id = room_id;
    this.rev = rev;
    this.kind = kind;
  }
}
