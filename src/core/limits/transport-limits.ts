/** The connection is closed after this many invalid tokens. */
export const maxInvalidTokens = 3;
/** The maximum size of a frame before the connection's token is accepted. */
export const unauthenticatedFrameBytes = 4_096;
/** The maximum size of all frames that wait while the connection's first token is verified. */
export const unauthenticatedBurstBytes = 65_536;
/** The time after which a peer is disconnected if it does not take part in the closing handshake. */
export const closeTimeoutMs = 1_000;
/** How often all send buffers are checked. A check at each write is not enough, because libraries also write. */
export const sendBufferCheckMs = 1_000;
