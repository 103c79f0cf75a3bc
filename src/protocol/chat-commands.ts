import { z } from 'zod';
import { Cursor } from './cursor.ts';
import { ErrorCode, RemovalCode } from './errors.ts';
import { count, RoomId, RoomRef } from './identifiers.ts';
import { ClientMsgId, Content, Message, pageSize } from './message.ts';

/** A client's own mark on a command; it comes back on the answer. */
export const CommandId = z.union([z.string().max(64), z.number()]);
export type CommandId = z.infer<typeof CommandId>;

export const chatCommands = {
  token: z.object({ type: z.literal('token'), content: z.string({ error: 'must be a JWT' }) }),
  select_room: z.object({ type: z.literal('select_room'), room_id: RoomRef, since: Cursor.nullish() }),
  message: z
    .preprocess(
      (frame: Record<string, unknown>) => ({ ...frame, content: frame.content ?? frame.msg }),
      z.object({ type: z.literal('message'), content: Content, client_msg_id: ClientMsgId.nullish() }),
    )
    .describe('`msg` is taken where `content` is absent.'),
  get_past_messages: z.object({
    type: z.literal('get_past_messages'),
    limit: pageSize(100),
    before: count(0, Number.MAX_SAFE_INTEGER).optional(),
  }),
  quit: z.object({ type: z.literal('quit') }),
} as const;

export type ChatCommandName = keyof typeof chatCommands;

const rev = z.number().int().nonnegative();
const id = CommandId.optional();

export const chatQueries = z.enum(['START?', 'TOKEN?', 'SELECTROOM?', 'COMMAND?']);

/** Every frame that a server sends on `/chat`. */
export const ChatFrame = z.union([
  z.strictObject({ type: z.literal('query'), data: chatQueries, reason: ErrorCode.optional(), id }),
  z.strictObject({
    type: z.literal('status'),
    data: z.literal('CONNECTED'),
    room_id: RoomId,
    rights: z.string(),
    rev,
    cursor: Cursor,
    recovered: z.boolean(),
    id,
  }),
  z.strictObject({
    type: z.literal('status'),
    data: z.literal('HISTORY'),
    count: z.number().int().nonnegative(),
    has_more: z.boolean(),
    rev,
    cursor: Cursor,
    id,
  }),
  z.strictObject({ type: z.literal('status'), data: z.enum(['READY', 'BADAUTH', 'BADJSON']), id }),
  z.strictObject({
    type: z.literal('status'),
    data: z.enum(['NOTAUTHORIZED', 'ERROR']),
    reason: z.union([ErrorCode, RemovalCode]),
    detail: z.string().optional(),
    retry_after_ms: z.number().int().optional(),
    id,
  }),
  z.strictObject({
    type: z.literal('message'),
    rev,
    cursor: Cursor,
    data: Message,
    duplicate: z.literal(true).optional(),
    history: z.literal(true).optional(),
    id,
  }),
]);
export type ChatFrame = z.infer<typeof ChatFrame>;
