import type { Actor } from '../authorization.ts';
import type { RemovalCode } from '../errors.ts';
import type { Change } from '../log/change.ts';

/** One connection in one room. The methods are synchronous, so that no change can arrive between two calls. */
export interface Subscriber {
  readonly actor: Actor;
  /** Delivers a change to this subscriber only. Called before the subscriber goes live. */
  deliver(change: Change): void;
  /** From this call on, the subscriber receives what the `Broadcaster` of its transport publishes. */
  goLive(): void;
  /** Stops the delivery and reports the reason to the client. */
  remove(code: RemovalCode): void;
  /** Makes the client reconnect and resync, because this node cannot continue the delivery without gaps or errors. */
  reconnect(): void;
}

/** Publishes changes to all live subscribers of one transport on this node. */
export interface Broadcaster {
  publish(change: Change): void;
}
