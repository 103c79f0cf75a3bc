export type Signal = 'revocations';

/**
 * Signals are messages without content to the other nodes. Each is delivered at most once. Because a signal can be
 * lost, receivers also reconcile periodically.
 */
export interface Signals {
  send(name: Signal): void;
  /**
   * Calls the listener for each signal, and also if a signal may have been lost. Returns a function that unsubscribes.
   */
  onSignal(name: Signal, listener: () => void): () => void;
}

/** Does nothing. A single node uses it, because there are no other nodes. */
export const noSignals: Signals = { send: () => {}, onSignal: () => () => {} };
