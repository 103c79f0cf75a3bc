/** What travels, as types only: the schemas behind them would bring zod into the browser. */
export type { ErrorCode, RemovalCode } from '../core/errors.ts';
export type { Message } from '../core/log/message.ts';
export type { Room as RoomInfo } from '../core/room.ts';
export type {
  Ack,
  Joined,
  RefusedAck,
  RequestName,
  RequestPayload,
  ServerEventPayloads,
} from '../protocol/socket-events.ts';

/** As in the protocol; a test compares the two. */
export const namespace = '/rooms';
