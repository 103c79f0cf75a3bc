export type NodeCall = 'revocations';

/** A word to the other nodes: at most once. Whoever needs it for certain looks again at every sweep. */
export interface NodeCalls {
  call(name: NodeCall): void;
  /** `hear` is called, too, where a word may have gone by unheard. Returns the undo. */
  onCall(name: NodeCall, hear: () => void): () => void;
}

/** A node that is alone calls nobody. */
export const noOtherNodes: NodeCalls = { call: () => {}, onCall: () => () => {} };
