import type { RoomConnection } from './connection.ts';

/** A part of the client with its own entry point, so that only those who use it load it. */
export interface ClientPart {
  onConnect(): void;
  onDisconnect(): void;
  onEvent(name: string, payload: unknown): void;
  onClose(): void;
}

/** What a client offers to its parts, but not to applications. */
export interface ClientHost {
  readonly connection: RoomConnection;
  /** Returns the function that detaches the part. */
  attach(part: ClientPart): () => void;
}
