import type { pairOf } from '../features/rooms/pairs.ts';
import type { RuleChange } from './merge-rules.ts';
import type { Head } from './target-reads.ts';

/** What is to be done in one room, beyond what it begins with. There may be very many of them. */
export interface RoomWork extends Head {
  /** Where its log ended before. */
  from: number;
  /** The date of a message that has none. */
  undated: number;
  /** Its messages with a greater id are read: so many. */
  after: number;
  expected: number;
  /** Some of them may be here already. */
  reread: boolean;
  /** Messages that are not taken over. */
  leftOut: number;
  /** What has changed in a room that was here; they follow the messages. */
  changes: RuleChange[] | undefined;
  /** The second user of a user2user room has come. */
  pair: ReturnType<typeof pairOf> | undefined;
}

/** Below all ids. */
export const lowest = Number.MIN_SAFE_INTEGER;
