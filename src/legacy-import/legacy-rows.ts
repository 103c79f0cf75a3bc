export interface LegacyRoom {
  id: number;
  uuid: string | null;
  name: string | null;
  type: string | null;
  level_admin: number | null;
  user_owner: string | null;
  entity_owner: string | null;
  max_entity_rules: number | null;
  created: number | null;
  updated: number | null;
}

export interface LegacyRule {
  room_id: number;
  grantee: string | null;
  permissions: string | null;
  level: number | null;
  accepted: boolean | null;
  created: number | null;
  updated: number | null;
}

/** In the order of its columns: there may be millions. */
export type LegacyMessage = [
  id: number,
  room_id: number,
  emitter: string | null,
  content: string | null,
  created: number | null,
  updated: number | null,
];

/** How far an earlier import has come in a room. */
export interface ImportedPosition {
  lastMessageId: number;
  seenMessages: number;
}

/** The messages of a room in the original. */
export interface Tally {
  room_id: number | null;
  count: number;
  /** Those up to the last id that was seen before. */
  known: number;
  last: number;
  newest: number | null;
}

/** The messages of a room with a greater id. */
export interface MessageRange {
  room: number;
  after: number;
}

/** Some rooms with their rules, the oldest rule first, and rules whose room there is not. */
export interface LegacyRoomBatch {
  rooms: { room: LegacyRoom; rules: LegacyRule[] }[];
  strayRules: LegacyRule[];
}

/** A database of the original, as it stood when it was opened. It is only read. */
export interface LegacyDatabase {
  location: string;
  /** In the order of their numbers, some hundred at once. */
  rooms(): AsyncGenerator<LegacyRoomBatch>;
  tallies(seen: ReadonlyMap<number, ImportedPosition>): Promise<Tally[]>;
  /** In the order of rooms, and within a room of time; some thousand at once, the next ones while these are used. */
  messages(wanted: readonly MessageRange[]): AsyncGenerator<LegacyMessage[]>;
  close(): Promise<void>;
}
