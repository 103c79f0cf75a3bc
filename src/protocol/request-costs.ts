import type { ErrorCode } from '../core/errors.ts';
import type { ChatCommandName } from './chat-commands.ts';
import type { restRoutes } from './rest-routes.ts';
import type { RequestName } from './socket-events.ts';

/** What a request takes from its user's bucket of `REQUEST_BURST` tokens, which `REQUEST_RATE` tokens a second fill. */
export interface RequestCost {
  tokens: number;
  /** For each hundred rows that are asked for, or a part of them: `limit` and `offset`, or `rows` without a limit. */
  perHundred?: { tokens: number; rows: number };
  /** With `since`, for what was missed. */
  since?: number;
}

const read: RequestCost = { tokens: 1 };
const list: RequestCost = { tokens: 1, perHundred: { tokens: 1, rows: 1_000 } };
/** Of all rules of a room, which may be a thousand. */
const rules: RequestCost = { tokens: 5 };
const page: RequestCost = { tokens: 1, perHundred: { tokens: 4, rows: 100 } };
const join: RequestCost = { tokens: 2, since: 2 };
/** Everything that is written to a room's log, or makes one, but for messages. */
const change: RequestCost = { tokens: 20 };
const token: RequestCost = { tokens: 5 };
/** Messages have a limit of their own, `SEND_RATE`. */
const message: RequestCost = { tokens: 0 };
const free: RequestCost = { tokens: 0 };

type Routes = typeof restRoutes;
/** The routes that take a user's token. */
type UserRouteName = { [N in keyof Routes]: Routes[N]['token'] extends 'user' ? N : never }[keyof Routes];

export const requestCosts = {
  rest: {
    createRoom: change,
    listRooms: list,
    readRoom: read,
    changeRoom: change,
    deleteRoom: change,
    listMembers: rules,
    putMember: change,
    removeMember: change,
    answerInvitation: change,
    readMessages: page,
    sendMessage: message,
  } satisfies Record<UserRouteName, RequestCost>,
  socketio: {
    'room:join': join,
    'room:leave': read,
    'message:send': message,
    'message:history': page,
    'token:refresh': token,
  } satisfies Record<RequestName, RequestCost>,
  chat: {
    token,
    select_room: join,
    message,
    get_past_messages: page,
    quit: free,
  } satisfies Record<ChatCommandName, RequestCost>,
  /** A connect to Socket.IO. */
  connect: token,
  /** A refusal costs this on top of the request, messages included. */
  refusal: 5,
} as const;

/** Refusals that say nothing of what was asked. */
const unchargedRefusals: readonly ErrorCode[] = ['RATE_LIMITED', 'TOO_MANY_CONNECTIONS', 'INTERNAL', 'UNAVAILABLE'];

export const refusalCost = (code: ErrorCode): number => (unchargedRefusals.includes(code) ? 0 : requestCosts.refusal);

/** `input` is what the client sent, as yet unchecked. */
export function countTokens({ tokens, perHundred, since = 0 }: RequestCost, input: unknown): number {
  const given = (typeof input === 'object' && input !== null ? input : {}) as Record<string, unknown>;
  const extra = given.since == null ? 0 : since;
  if (!perHundred) return tokens + extra;
  const rows = parseCount(given.limit, perHundred.rows) + parseCount(given.offset, 0);
  return tokens + extra + perHundred.tokens * Math.ceil(rows / 100);
}

/** What is no number is refused as such later. */
function parseCount(given: unknown, fallback: number): number {
  const value = typeof given === 'string' || typeof given === 'number' ? Number(given) : fallback;
  return Number.isFinite(value) && value >= 0 ? value : fallback;
}
