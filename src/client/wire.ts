import type { session } from '../auth/contract.ts';
import type { InferAck, InferPayload } from '../core/contract/socketio.ts';
import type { messages } from '../features/messages/contract.ts';
import type { rooms } from '../features/rooms/contract.ts';

/**
 * The types of the protocol's payloads. This file imports only types. If it imported the schemas, the client for browsers
 * would contain zod.
 */

export type { Joined, RefusedAck, ServerEventPayloads } from '../core/contract/socketio.ts';

type Requests = (typeof session)['requests'] & (typeof rooms)['requests'] & (typeof messages)['requests'];
export type RequestName = keyof Requests;
export type RequestPayload<N extends RequestName> = InferPayload<Requests[N]>;
export type Ack<N extends RequestName> = InferAck<Requests[N]>;
export type { ErrorCode, RemovalCode } from '../core/errors.ts';
export type { Message } from '../core/log/message.ts';
export type { Room as RoomInfo } from '../core/room.ts';

/** A copy of the constant of the server, because importing it would also import zod. A test compares the two. */
export const namespace = '/rooms';
