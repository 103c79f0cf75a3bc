import type { orderPair } from '../features/rooms/pairs.ts';
import type { NewRoom } from './convert-rooms.ts';
import type { Findings } from './findings.ts';
import type { RuleChange } from './merge-rules.ts';
import type { Scan } from './scan.ts';
import type { Target } from './target.ts';
import type { Head, Mark } from './target-reads.ts';

/** What is to be done in one room, beyond what it begins with. There may be very many of them. */
export interface RoomPlan extends Head {
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
  pair: ReturnType<typeof orderPair> | undefined;
}

/** Below all ids. */
export const minId = Number.MIN_SAFE_INTEGER;

/** What is to be done for some rooms. */
export interface BatchPlan {
  rooms: NewRoom[];
  marks: Mark[];
  roomPlans: Map<number, RoomPlan>;
  /** Rooms that earlier imports have brought, and that are still here. */
  known: number;
}

export interface PlanContext {
  target: Target;
  scan: Scan;
  findings: Findings;
  now: number;
  /** A dry run locks nothing. */
  shouldLock: boolean;
}
