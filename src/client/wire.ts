import type { session } from '../auth/contract.ts';
import type { InferAck, InferPayload, Joined as JoinedAck } from '../core/contract/socketio.ts';
import type { edits } from '../features/edits/contract.ts';
import type { inbox } from '../features/inbox/contract.ts';
import type { messages } from '../features/messages/contract.ts';
import type { reactions } from '../features/reactions/contract.ts';
import type { ReadReceipt, reads } from '../features/reads/contract.ts';
import type { rooms } from '../features/rooms/contract.ts';
import type { TypingChanged, typing } from '../features/typing/contract.ts';

/**
 * The types of the protocol's payloads. This file imports only types. If it imported the schemas, the client for browsers
 * would contain zod.
 */

export type { RefusedAck, ServerEventPayloads } from '../core/contract/socketio.ts';
export type { ErrorCode, RemovalCode } from '../core/errors.ts';
export type { InboxItem } from '../core/inbox-item.ts';
export type {
  CustomData,
  Message as WireMessage,
  ReactionCount,
  ReactionDelta,
  Replies,
} from '../core/log/message.ts';
export type { Room as RoomInfo } from '../core/room.ts';
export type { ReadReceipt } from '../features/reads/contract.ts';
export type { Typist } from '../features/typing/contract.ts';

export interface Presence {
  count: number;
  users?: string[] | undefined;
  partial?: true | undefined;
}

type Requests = (typeof session)['requests'] &
  (typeof rooms)['requests'] &
  (typeof messages)['requests'] &
  (typeof edits)['requests'] &
  (typeof reactions)['requests'] &
  (typeof typing)['requests'] &
  (typeof reads)['requests'] &
  (typeof inbox)['requests'];

/** Requests whose payloads have another type before they are parsed. */
interface Unparsed {
  'room:join': { payload: { room_id: number | string; since?: string; reads?: true; presence?: true }; ack: Joined };
  'message:history': {
    payload: {
      room_id: number | string;
      before?: number;
      after?: number;
      around?: number;
      limit: number;
      top_level?: true;
      thread?: number;
    };
    ack: InferAck<Requests['message:history']>;
  };
  'read:mark': {
    payload: { room_id: number | string; seq: number; force?: boolean };
    ack: InferAck<Requests['read:mark']>;
  };
  'room:personal': {
    payload: { room_id: number | string; muted?: boolean; hidden?: boolean };
    ack: InferAck<Requests['room:personal']>;
  };
  'inbox:page': { payload: { after: string; limit: number }; ack: InferAck<Requests['inbox:page']> };
}

export type RequestName = keyof Requests | keyof Unparsed;
export type RequestPayload<N extends RequestName> = N extends keyof Unparsed
  ? Unparsed[N]['payload']
  : N extends keyof Requests
    ? InferPayload<Requests[N]>
    : never;
export type Ack<N extends RequestName> = N extends keyof Unparsed
  ? Unparsed[N]['ack']
  : N extends keyof Requests
    ? InferAck<Requests[N]>
    : never;

export type Joined = JoinedAck & { reads?: ReadReceipt[] | undefined; presence?: Presence | null | undefined };

/** The events without a `rev`. */
export interface LiveEventPayloads {
  'typing:changed': TypingChanged;
  'presence:changed': Presence & { room_id: number };
  'read:changed': { room_id: number; reads: ReadReceipt[] };
}
export type LiveEvent = {
  [N in keyof LiveEventPayloads]: { name: N; payload: LiveEventPayloads[N] };
}[keyof LiveEventPayloads];

export type ChangeEvent = JoinedAck['events'][number];

/** A copy of the constant of the server, because importing it would also import zod. A test compares the two. */
export const namespace = '/rooms';
