import type { Actor } from '../authorization.ts';
import type { RemovalCode } from '../errors.ts';
import type { Change } from '../log/change.ts';

/** One connection in one room. Its methods are synchronous, so no change can arrive between two calls. */
export interface Subscriber {
  readonly actor: Actor;
  /** Delivers a change to this subscriber alone, before it goes live. */
  deliver(change: Change): void;
  /** From now on it receives what the `Broadcaster` of its transport publishes. */
  goLive(): void;
  /** Stops the delivery and reports the reason to the client. */
  remove(code: RemovalCode): void;
  /** What it has received does not fit the log any more: the client has to reconnect and resync. */
  reconnect(): void;
}

/** Reaches all live subscribers of one transport on this node. */
export interface Broadcaster {
  publish(change: Change): void;
}
