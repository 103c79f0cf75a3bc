import { z } from 'zod';
import { Cursor } from '../cursor.ts';
import { ErrorCode, listChatCodes, RemovalCode, tokenErrorCodes } from '../errors.ts';
import { exampleMessage, examplePosition } from '../examples.ts';
import { count, RoomId, RoomRef } from '../ids.ts';
import { costs, type RequestCost } from '../limits/request-costs.ts';
import { ClientMsgId, Content, Message, pageSize } from '../log/message.ts';
import { Ignored } from '../unknown-keys.ts';

/** A client's own mark on a command; it comes back on the answer. */
export const CommandId = z
  .union([z.string().max(64), z.number()])
  .meta({ id: 'CommandId', description: "The client's own mark on a command; it comes back on the answer." });
export type CommandId = z.infer<typeof CommandId>;

export const chatCommands = {
  token: z.object({ type: z.literal('token'), content: z.string({ error: 'must be a JWT' }).describe('A JWT.') }).meta({
    description: 'Legal always: the first token, or a fresh one of the same user.',
    examples: [{ type: 'token', content: 'eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyVVVJRCI6IuKApiJ9.c2lnbmF0dXJl', id: 1 }],
  }),
  select_room: z
    .object({
      type: z.literal('select_room'),
      room_id: RoomRef,
      since: Cursor.nullish().describe('Of the last message that was applied.'),
    })
    .meta({
      description: 'Legal after `READY`. Comes into a room and leaves the one before, also when it fails. Needs `r`.',
      examples: [{ type: 'select_room', room_id: 1, since: examplePosition.cursor, id: 2 }],
    }),
  message: z
    .preprocess(
      // Beside `content` it is a key like any other that nobody knows.
      (frame: Record<string, unknown>) => (frame.content == null ? frame : { ...frame, msg: undefined }),
      z
        .object({
          type: z.literal('message'),
          content: Content.nullish(),
          msg: Content.nullish().describe('Taken where `content` is absent.'),
          client_msg_id: ClientMsgId.nullish(),
        })
        .transform(({ msg, ...command }, context) => {
          const content = command.content ?? msg;
          if (content != null) return { ...command, content };
          context.addIssue({ code: 'custom', path: ['content'], message: 'must be a string' });
          return z.NEVER;
        }),
    )
    .meta({
      description: 'Legal in a room. Needs `w`. The answer is the echo, which everybody in the room gets.',
      examples: [{ type: 'message', content: 'Go!', client_msg_id: 'm1', id: 3 }],
      anyOf: [{ required: ['content'] }, { required: ['msg'] }],
    }),
  get_past_messages: z
    .object({
      type: z.literal('get_past_messages'),
      limit: pageSize(100),
      before: count(0, Number.MAX_SAFE_INTEGER).optional().describe('A `seq`; without it the page is the latest.'),
    })
    .meta({
      description: 'Legal in a room. One page of history, oldest first; with an `id` its end is told by `HISTORY`.',
      examples: [{ type: 'get_past_messages', limit: 100, before: 51, id: 4 }],
    }),
  quit: z.object({ type: z.literal('quit') }).meta({
    description: 'Legal after `READY`. Closes the connection with 1000, when the commands before it are answered.',
    examples: [{ type: 'quit' }],
  }),
} as const;

export type ChatCommandName = keyof typeof chatCommands;

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

const beforeTokenFrames = ['TOKEN?', 'BADAUTH'] as const;
const commonRefusals = ['INTERNAL', 'UNAVAILABLE'] as const;
const roomRefusals = [...commonRefusals, 'RATE_LIMITED', 'BAD_REQUEST', 'NOT_FOUND', 'FORBIDDEN', 'BANNED'] as const;

/** The frames that answer a command, and the codes with which `NOTAUTHORIZED` and `ERROR` refuse it. */
export const chatAnswers = {
  token: {
    frames: ['READY', ...beforeTokenFrames, 'ERROR'],
    refusals: [...commonRefusals, 'RATE_LIMITED', 'TOO_MANY_CONNECTIONS'],
    cost: costs.token,
  },
  select_room: {
    frames: ['CONNECTED', 'message', ...beforeTokenFrames, 'NOTAUTHORIZED', 'ERROR'],
    refusals: roomRefusals,
    cost: costs.join,
  },
  message: {
    frames: ['message', 'SELECTROOM?', ...beforeTokenFrames, 'NOTAUTHORIZED', 'ERROR'],
    refusals: [...roomRefusals, 'TOO_LARGE', 'ID_REUSED'],
    cost: costs.message,
  },
  get_past_messages: {
    frames: ['message', 'HISTORY', 'SELECTROOM?', ...beforeTokenFrames, 'NOTAUTHORIZED', 'ERROR'],
    refusals: roomRefusals,
    cost: costs.page,
  },
  quit: { frames: [...beforeTokenFrames], refusals: [], cost: costs.free },
} as const satisfies Record<
  ChatCommandName,
  { frames: readonly ChatFrameName[]; refusals: readonly ErrorCode[]; cost: RequestCost }
>;
