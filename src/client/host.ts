import type { QueuedAction } from './action-queue.ts';
import type { RoomConnection } from './room-connection.ts';

/** A room, as the parts of the client know it. */
export interface HostRoom {
  readonly ref: number | string;
  /** `NaN` if the room was given by its UUID and has not been joined yet. */
  readonly id: number;
  readonly queue: { readonly changes: Iterable<QueuedAction> };
}

/** What follows the connection: a room, or a part of the client with its own entry point. */
export interface ClientPart {
  onConnect(): void;
  onDisconnect(): void;
  onEvent(name: string, payload: never): void;
  onUnauthorized?(error: never): void;
  onClaimsChanged?(): void;
  /**
   * Called if marks or personal settings of the user have been added to the queue of a room, or have ended. `ack` is the
   * acknowledgement of the service.
   */
  onOwnState?(room: HostRoom, ack?: object): void;
  close(): void;
}

/** What a client offers to its parts, but not to applications. */
export interface ClientHost {
  readonly connection: RoomConnection;
  readonly rooms: ReadonlyMap<string, HostRoom>;
  /** Returns the function that detaches the part. */
  attach(part: ClientPart): () => void;
}
