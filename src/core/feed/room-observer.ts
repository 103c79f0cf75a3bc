import type { RoomId } from '../ids.ts';
import type { Change } from '../log/change.ts';
import type { Subscriber } from './subscriber.ts';

/**
 * Observes which subscribers are live in the rooms of this node. Features such as presence implement this interface.
 * The methods are called for every subscriber and change, so they must be cheap, and they must not throw.
 */
export interface RoomObserver {
  onJoined(room: RoomId, subscriber: Subscriber): void;
  /** `removed` means that the subscriber may no longer read, or that the room was deleted. */
  onLeft(room: RoomId, subscriber: Subscriber, how: 'left' | 'removed'): void;
  /** Called when the change has been applied to the rights and delivered. */
  onChange(change: Change): void;
  /** Called when the subscriber has a fresh token and may still read. */
  onTokenRenewed(room: RoomId, subscriber: Subscriber): void;
  /** Whether the feed must stay open although nobody is in the room. */
  needsFeed(room: RoomId): boolean;
}
