import type { RoomId } from '../ids.ts';
import type { Change } from '../log/change.ts';
import type { Subscriber } from './subscriber.ts';

/**
 * Follows who is live in the rooms of this node. A feature implements it if it depends on that, such as presence.
 * The methods are called for every subscriber and change, so they must be cheap, and they must not throw.
 */
export interface RoomObserver {
  onJoined(room: RoomId, subscriber: Subscriber): void;
  /** `removed`: the subscriber may no longer read, or the room was deleted. */
  onLeft(room: RoomId, subscriber: Subscriber, how: 'left' | 'removed'): void;
  /** The change has been applied to the rights and delivered. */
  onChange(change: Change): void;
  /** The subscriber has a fresh token, and may still read. */
  onTokenRenewed(room: RoomId, subscriber: Subscriber): void;
  /** Whether the feed must stay open although nobody is in the room. */
  needsFeed(room: RoomId): boolean;
}
