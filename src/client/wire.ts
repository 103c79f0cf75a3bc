/** The protocol's payloads. Types only: the schemas behind them would bring zod into the browser. */

export type {
  Ack,
  Joined,
  RefusedAck,
  RequestName,
  RequestPayload,
  ServerEventPayloads,
} from '../core/contract/socketio.ts';
export type { ErrorCode, RemovalCode } from '../core/errors.ts';
export type { Message } from '../core/log/message.ts';
export type { Room as RoomInfo } from '../core/room.ts';

/** A copy of the protocol's constant, for the same reason; a test compares the two. */
export const namespace = '/rooms';
