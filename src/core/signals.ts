export type Signal = 'revocations';

/**
 * Messages without content to the other nodes. Each signal is delivered at most once. Since signals can be lost,
 * receivers also have to reconcile periodically.
 */
export interface Signals {
  send(name: Signal): void;
  /**
   * Calls the listener for each signal from another node, and whenever a signal may have been lost. Returns a function
   * that unsubscribes.
   */
  onSignal(name: Signal, listener: () => void): () => void;
}

/** The signals of a single node, which has no other nodes to signal. */
export const noSignals: Signals = { send: () => {}, onSignal: () => () => {} };
