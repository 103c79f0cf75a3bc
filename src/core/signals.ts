export type Signal = 'revocations';

/** A message without content to the other nodes, delivered at most once. Receivers also reconcile periodically. */
export interface Signals {
  send(name: Signal): void;
  /** Also calls the listener if a signal may have been lost. Returns a function that unsubscribes. */
  onSignal(name: Signal, listener: () => void): () => void;
}

/** For a single node. */
export const noSignals: Signals = { send: () => {}, onSignal: () => () => {} };
