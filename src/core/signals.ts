export type Signal = 'revocations';

/** A word to the other nodes: at most once. Whoever needs it for certain looks again at every sweep. */
export interface Signals {
  send(name: Signal): void;
  /** `hear` is called, too, where a word may have gone by unheard. Returns the undo. */
  onSignal(name: Signal, listener: () => void): () => void;
}

/** A node that is alone calls nobody. */
export const noSignals: Signals = { send: () => {}, onSignal: () => () => {} };
