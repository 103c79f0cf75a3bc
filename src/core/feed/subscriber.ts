import type { Actor } from '../authorization.ts';
import type { RemovalCode } from '../errors.ts';
import type { Change } from '../log/change.ts';

/** One connection in one room. The methods are synchronous: no change can arrive between two successive calls. */
export interface Subscriber {
  readonly actor: Actor;
  /** Delivers a change to this subscriber only. Called only before the subscriber goes live. */
  deliver(change: Change): void;
  /** From this call on, the subscriber receives what the `Broadcaster` of its transport publishes. */
  goLive(): void;
  /**
   * Sends an event that is not a change to this subscriber only. Has no effect if the connection receives no such
   * events.
   */
  deliverEvent(name: string, payload: object): void;
  /** Stops the delivery and reports the reason to the client. */
  remove(code: RemovalCode): void;
  /** Makes the client reconnect and resync. Called if this node cannot continue to deliver all changes correctly. */
  reconnect(): void;
}

/** Publishes changes to all live subscribers of one transport on this node. */
export interface Broadcaster {
  publish(change: Change): void;
}
