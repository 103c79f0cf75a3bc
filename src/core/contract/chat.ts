import { z } from 'zod';
import { Cursor } from '../cursor.ts';
import { ErrorCode, listChatCodes, RemovalCode, tokenErrorCodes } from '../errors.ts';
import { exampleMessage, examplePosition } from '../examples.ts';
import { RoomId } from '../ids.ts';
import type { RequestCost } from '../limits/request-costs.ts';
import { Message } from '../log/message.ts';
import { Ignored } from '../unknown-keys.ts';

/** A client's own mark on a command; it comes back on the answer. */
export const CommandId = z
  .union([z.string().max(64), z.number()])
  .meta({ id: 'CommandId', description: "The client's own mark on a command; it comes back on the answer." });
export type CommandId = z.infer<typeof CommandId>;

const rev = z.number().int().nonnegative().describe("Position in the room's log: 1, 2, 3… without gaps.");
const id = CommandId.optional();
/** On the answer to a command that has an `id`. */
const ignored = Ignored.optional();
const defineQuery = <D extends string>(data: D) =>
  z.strictObject({ type: z.literal('query'), data: z.literal(data), id });
const defineStatus = <D extends string>(data: D) =>
  z.strictObject({ type: z.literal('status'), data: z.literal(data), id });
const refusalDetails = {
  detail: z.string().optional().describe('`field: why`, or why.'),
  retry_after_ms: z.number().int().optional().describe('Where the time is known.'),
};

/** Every frame that a server sends on `/chat`, by its `data`; a message by its `type`. */
export const chatFrames = {
  'START?': defineQuery('START?').meta({
    description: 'Sent once, as soon as the connection is open. It need not be waited for.',
    examples: [{ type: 'query', data: 'START?' }],
  }),
  'TOKEN?': defineQuery('TOKEN?')
    .extend({ reason: ErrorCode.extract([...tokenErrorCodes]).optional() })
    .meta({
      description:
        'A token is needed; or the one that was sent does not hold, then with `reason`. Counts as a bad try.',
      examples: [{ type: 'query', data: 'TOKEN?', reason: 'TOKEN_EXPIRED', id: 1 }],
    }),
  'SELECTROOM?': defineQuery('SELECTROOM?').meta({
    description: 'The command needs a room to be selected first.',
    examples: [{ type: 'query', data: 'SELECTROOM?', id: 3 }],
  }),
  'COMMAND?': defineQuery('COMMAND?').meta({
    description: 'There is no such command.',
    examples: [{ type: 'query', data: 'COMMAND?', id: 6 }],
  }),
  READY: defineStatus('READY').meta({
    description: 'The token holds.',
    examples: [{ type: 'status', data: 'READY', id: 1 }],
  }),
  CONNECTED: defineStatus('CONNECTED')
    .extend({
      room_id: RoomId,
      rights: z.string().describe('The letters of `rwa` that the caller has.'),
      rev,
      cursor: Cursor,
      recovered: z.boolean().describe('Whether all messages since the given cursor follow.'),
      ignored,
    })
    .meta({
      description: 'The room is selected. What was missed follows, then what is live.',
      examples: [
        { type: 'status', data: 'CONNECTED', room_id: 1, rights: 'rw', ...examplePosition, recovered: false, id: 2 },
      ],
    }),
  message: z
    .strictObject({
      type: z.literal('message'),
      rev,
      cursor: Cursor,
      data: Message,
      duplicate: z.literal(true).optional().describe('The answer to a `client_msg_id` that was sent before.'),
      history: z.literal(true).optional().describe('Of the page that `get_past_messages` asked for.'),
      id: id.describe("On the sender's own echo, where the command had one."),
      ignored,
    })
    .meta({
      description: 'A message: live, an echo, missed or history. `rev` and `cursor` are its own.',
      examples: [{ type: 'message', ...examplePosition, data: exampleMessage }],
    }),
  HISTORY: defineStatus('HISTORY')
    .extend({
      count: z.number().int().nonnegative().describe('How many messages were sent.'),
      has_more: z.boolean().describe('Whether there are older ones.'),
      rev,
      cursor: Cursor,
      ignored,
    })
    .meta({
      description: 'The end of a page of history that was asked for with an `id`; `rev` says where the log stood.',
      examples: [{ type: 'status', data: 'HISTORY', count: 2, has_more: false, ...examplePosition, id: 5 }],
    }),
  NOTAUTHORIZED: defineStatus('NOTAUTHORIZED')
    .extend({ reason: z.union([ErrorCode.extract(listChatCodes('NOTAUTHORIZED')), RemovalCode]), ...refusalDetails })
    .meta({
      description: 'The rights of the caller do not allow the command; or, unasked, he has been taken out of the room.',
      examples: [{ type: 'status', data: 'NOTAUTHORIZED', reason: 'BANNED' }],
    }),
  ERROR: defineStatus('ERROR')
    .extend({ reason: ErrorCode.extract(listChatCodes('ERROR')), ...refusalDetails })
    .meta({
      description: 'Any other refusal. The connection stays.',
      examples: [{ type: 'status', data: 'ERROR', reason: 'BAD_REQUEST', detail: 'content: must be a string', id: 7 }],
    }),
  BADAUTH: defineStatus('BADAUTH').meta({
    description: 'The third bad try; the connection closes with 4401.',
    examples: [{ type: 'status', data: 'BADAUTH' }],
  }),
  BADJSON: defineStatus('BADJSON').meta({
    description: 'The frame is not JSON; the connection closes with 4400.',
    examples: [{ type: 'status', data: 'BADJSON' }],
  }),
} as const;

export type ChatFrameName = keyof typeof chatFrames;
type ChatFrames = { [N in ChatFrameName]: z.infer<(typeof chatFrames)[N]> };

export const ChatFrame = z.union(Object.values(chatFrames) as [(typeof chatFrames)[ChatFrameName]]);
export type ChatFrame = ChatFrames[ChatFrameName];

export const beforeTokenFrames = ['TOKEN?', 'BADAUTH'] as const;
/** The refusals of every command but `quit`, and of those that need a room. */
export const commonRefusals = ['INTERNAL', 'UNAVAILABLE'] as const;
export const roomRefusals = [
  ...commonRefusals,
  'RATE_LIMITED',
  'BAD_REQUEST',
  'NOT_FOUND',
  'FORBIDDEN',
  'BANNED',
] as const;

export interface ChatCommand {
  /** What the connection must have; without it the server asks for it. */
  needs: 'nothing' | 'token' | 'room';
  frame: z.ZodType;
  /** The frames that answer it. */
  answers: readonly ChatFrameName[];
  /** The codes with which `NOTAUTHORIZED` and `ERROR` refuse it. */
  refusals: readonly ErrorCode[];
  cost: RequestCost;
  /** If the command fails, the connection leaves the room that it is in. */
  leavesRoomOnFailure?: true;
}
