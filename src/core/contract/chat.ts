import { z } from 'zod';
import { Cursor } from '../cursor.ts';
import { ErrorCode, listChatCodes, RemovalCode, tokenErrorCodes } from '../errors.ts';
import { exampleMessage, examplePosition } from '../examples.ts';
import { RoomId } from '../ids.ts';
import type { RequestCost } from '../limits/request-costs.ts';
import { Message } from '../log/message.ts';
import { Ignored } from '../parse.ts';
import { type Joined, type ServerEventPayloads, serverEvents } from './socketio.ts';

export const CommandId = z
  .union([z.string().max(64), z.number()])
  .meta({ id: 'CommandId', description: 'Chosen by the client for a command; the answer repeats it.' });
export type CommandId = z.infer<typeof CommandId>;

const rev = z.number().int().nonnegative().describe("Position in the room's log: 1, 2, 3… without gaps.");
const id = CommandId.optional();
/** Sent only in answers to commands that have an `id`. */
const ignored = Ignored.optional();
const defineQuery = <D extends string>(data: D) =>
  z.strictObject({ type: z.literal('query'), data: z.literal(data), id });
const defineStatus = <D extends string>(data: D) =>
  z.strictObject({ type: z.literal('status'), data: z.literal(data), id });
const refusalDetails = {
  detail: z.string().optional().describe('`field: why`, or why.'),
  retry_after_ms: z.number().int().optional().describe('If the time is known.'),
};

type FrameName<Event extends string> = Event extends `${infer Noun}:${infer Verb}` ? `${Noun}_${Verb}` : Event;

/** Returns the name of the frame of an event: `typing_changed` for `typing:changed`. */
export const toFrameName = <Event extends string>(event: Event) => event.replace(':', '_') as FrameName<Event>;

/** The events of changes except `message:new`, whose frame is `message`. */
type ChangeEventName = Exclude<Joined['events'][number]['name'], 'message:new'>;

type ChangeFrame<Event extends ChangeEventName> = z.ZodObject<
  {
    type: z.ZodLiteral<FrameName<Event>>;
    rev: typeof rev;
    cursor: typeof Cursor;
    data: z.ZodType<Omit<ServerEventPayloads[Event], 'rev' | 'cursor'>>;
  },
  z.core.$strict
>;

/**
 * Defines the frame of a change. `rev` and `cursor` are fields of the frame; the rest of the event's payload is its
 * `data`.
 */
function defineChangeFrame<Event extends ChangeEventName>(event: Event): ChangeFrame<Event> {
  const payload: z.ZodObject<{ rev: z.ZodType; cursor: z.ZodType }> = serverEvents[event];
  const { description, examples } = payload.meta()!;
  const type = toFrameName(event);
  return z
    .strictObject({ type: z.literal(type), rev, cursor: Cursor, data: payload.omit({ rev: true, cursor: true }) })
    .meta({
      description: `With \`events\`: ${description}`,
      examples: (examples as { rev: number; cursor: string }[]).map(({ rev, cursor, ...data }) => ({
        ...{ type, rev, cursor, data },
      })),
    }) as unknown as ChangeFrame<Event>;
}

/** The frames of ephemeral events. They have no `rev`. */
export function defineEventFrames(events: Readonly<Record<string, z.ZodObject>>): Record<string, z.ZodObject> {
  return Object.fromEntries(
    Object.entries(events).map(([event, payload]) => {
      const type = toFrameName(event);
      const { description, examples } = payload.meta()!;
      const frame = z.strictObject({ type: z.literal(type), data: payload });
      const frameExamples = (examples as object[]).map((data) => ({ type, data }));
      return [type, frame.meta({ description: `With \`events\`: ${description}`, examples: frameExamples })];
    }),
  );
}

/** What a connection receives besides messages, if it has selected the room with `events`. */
const changeFrames = {
  message_changed: defineChangeFrame('message:changed'),
  reaction_changed: defineChangeFrame('reaction:changed'),
  member_changed: defineChangeFrame('member:changed'),
  room_changed: defineChangeFrame('room:changed'),
  change_skipped: defineChangeFrame('change:skipped'),
};

/**
 * The frames that the server sends on `/chat`, except those of features. The key of a query or a status is its `data`,
 * and the key of any other frame is its `type`.
 */
export const chatFrames = {
  'START?': defineQuery('START?').meta({
    description: 'Sent once, as soon as the connection is open. A client may send commands before it arrives.',
    examples: [{ type: 'query', data: 'START?' }],
  }),
  'TOKEN?': defineQuery('TOKEN?')
    .extend({ reason: ErrorCode.extract([...tokenErrorCodes]).optional() })
    .meta({
      description:
        'A valid token is required. With a `reason`, the token that was sent has been rejected, which counts towards the three attempts.',
      examples: [{ type: 'query', data: 'TOKEN?', reason: 'TOKEN_EXPIRED', id: 1 }],
    }),
  'SELECTROOM?': defineQuery('SELECTROOM?').meta({
    description: 'The command requires a selected room.',
    examples: [{ type: 'query', data: 'SELECTROOM?', id: 3 }],
  }),
  'COMMAND?': defineQuery('COMMAND?').meta({
    description: 'The command is unknown.',
    examples: [{ type: 'query', data: 'COMMAND?', id: 6 }],
  }),
  READY: defineStatus('READY').meta({
    description: 'The token is valid.',
    examples: [{ type: 'status', data: 'READY', id: 1 }],
  }),
  CONNECTED: defineStatus('CONNECTED')
    .extend({
      room_id: RoomId,
      rights: z.string().describe('The letters of `rwa` that the caller has.'),
      rev,
      cursor: Cursor,
      recovered: z.boolean().describe('Whether everything since the given cursor follows.'),
      ignored,
    })
    .meta({
      description: 'The room is selected. What was missed follows, then live messages.',
      examples: [
        { type: 'status', data: 'CONNECTED', room_id: 1, rights: 'rw', ...examplePosition, recovered: false, id: 2 },
      ],
    }),
  message: z
    .strictObject({
      type: z.literal('message'),
      rev,
      cursor: Cursor,
      data: serverEvents['message:new'].omit({ rev: true, cursor: true }),
      duplicate: z.literal(true).optional().describe('The answer to a duplicate `client_msg_id`.'),
      history: z.literal(true).optional().describe('Part of the page that `get_past_messages` requested.'),
      id: id.describe("On the sender's own echo, if the command had an `id`."),
      ignored,
    })
    .meta({
      description: 'A message: live, an echo, missed or history. `rev` and `cursor` are the position of this message.',
      examples: [{ type: 'message', ...examplePosition, data: exampleMessage }],
    }),
  ...changeFrames,
  OK: z.looseObject({ type: z.literal('status'), data: z.literal('OK'), id, ignored }).meta({
    description:
      'The command has succeeded. Besides `id`, the frame has the fields of the acknowledgement of the same request on Socket.IO.',
    examples: [{ type: 'status', data: 'OK', deleted: [4], ...examplePosition, id: 8 }],
  }),
  HISTORY: defineStatus('HISTORY')
    .extend({
      count: z.number().int().nonnegative().describe('How many messages were sent.'),
      has_more: z.boolean().describe('Whether older messages exist.'),
      next: z
        .object({ before: z.number().int().nonnegative() })
        .optional()
        .describe('With `has_more`: the `before` of the next page.'),
      rev,
      cursor: Cursor,
      ignored,
    })
    .meta({
      description:
        'The end of a page of history that was requested with an `id`; `rev` is the head of the log at that time.',
      examples: [
        { type: 'status', data: 'HISTORY', count: 2, has_more: true, next: { before: 51 }, ...examplePosition, id: 5 },
      ],
    }),
  NOTAUTHORIZED: defineStatus('NOTAUTHORIZED')
    .extend({ reason: z.union([ErrorCode.extract(listChatCodes('NOTAUTHORIZED')), RemovalCode]), ...refusalDetails })
    .meta({
      description: 'The caller has no right to do this. Without a command: the caller has been removed from the room.',
      examples: [{ type: 'status', data: 'NOTAUTHORIZED', reason: 'BANNED' }],
    }),
  ERROR: defineStatus('ERROR')
    .extend({
      reason: ErrorCode.extract(listChatCodes('ERROR')),
      ...refusalDetails,
      current: Message.optional().describe('With `CONFLICT`: the message as it is now.'),
    })
    .meta({
      description: 'Any other refusal. The connection remains open.',
      examples: [{ type: 'status', data: 'ERROR', reason: 'BAD_REQUEST', detail: 'content: must be a string', id: 7 }],
    }),
  BADAUTH: defineStatus('BADAUTH').meta({
    description: 'The third failed attempt to authenticate; the connection closes with 4401.',
    examples: [{ type: 'status', data: 'BADAUTH' }],
  }),
  BADJSON: defineStatus('BADJSON').meta({
    description: 'The frame is not JSON; the connection closes with 4400.',
    examples: [{ type: 'status', data: 'BADJSON' }],
  }),
} as const;

export type ChatFrameName = keyof typeof chatFrames;
type ChatFrames = { [N in ChatFrameName]: z.infer<(typeof chatFrames)[N]> };

/** The name of a frame in `chatFrames`. */
export const getFrameName = (frame: ChatFrame): ChatFrameName =>
  frame.type === 'query' || frame.type === 'status' ? frame.data : frame.type;

/** Whether a frame of this name lists the keys of the command that the server ignored. */
export const listsIgnoredKeys = (name: ChatFrameName): boolean => 'ignored' in chatFrames[name].shape;

export const changeFrameNames = Object.keys(changeFrames) as (keyof typeof changeFrames)[];

/** The frames that the server also sends without a command, keyed by the occasion. */
export const unsolicitedFrames = {
  open: { summary: 'The connection is open.', frames: ['START?'] },
  deliver: { summary: 'A live message of the room.', frames: ['message'] },
  change: {
    summary:
      'Another change of the room, or an ephemeral event, for a connection that selected the room with `events`.',
    frames: changeFrameNames,
  },
  remove: { summary: 'The connection has been removed from its room.', frames: ['NOTAUTHORIZED'] },
  reject: {
    summary: 'The frame is not a known command, or not JSON.',
    frames: ['TOKEN?', 'BADAUTH', 'COMMAND?', 'BADJSON'],
  },
} as const satisfies Record<string, { summary: string; frames: readonly ChatFrameName[] }>;

export const ChatFrame = z.union(Object.values(chatFrames) as [(typeof chatFrames)[ChatFrameName]]);
export type ChatFrame = ChatFrames[ChatFrameName];

export const beforeTokenFrames = ['TOKEN?', 'BADAUTH'] as const;
/** Error codes of every command except `quit`. */
export const commonRefusals = ['INTERNAL', 'UNAVAILABLE'] as const;
/** Error codes of every command that accesses a room. */
export const roomRefusals = [
  ...commonRefusals,
  'RATE_LIMITED',
  'BAD_REQUEST',
  'NOT_FOUND',
  'FORBIDDEN',
  'BANNED',
] as const;

export interface ChatCommand {
  /** What the command requires. If it is missing, the server sends `TOKEN?` or `SELECTROOM?`. */
  needs: 'nothing' | 'token' | 'room';
  frame: z.ZodType;
  /** The frames that may answer the command. */
  answers: readonly ChatFrameName[];
  /** The error codes that `NOTAUTHORIZED` and `ERROR` may carry as the answer. */
  refusals: readonly ErrorCode[];
  cost: RequestCost;
  /** If the command fails, the connection leaves its current room. */
  leavesRoomOnFailure?: true;
  /** The command does not wait until the messages before it are answered. */
  isPipelined?: true;
}
