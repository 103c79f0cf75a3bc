/** The connection is closed after this many invalid tokens. */
export const maxInvalidTokens = 3;
/** The maximum size of a frame before the connection's token is accepted. */
export const unauthenticatedFrameBytes = 4_096;
/** The maximum size of all frames that wait while the connection's first token is verified. */
export const unauthenticatedBurstBytes = 65_536;
/** How long the server waits for the peer's part of the closing handshake before it terminates the connection. */
export const closeTimeoutMs = 1_000;
/** How often all send buffers are checked. A check at our own writes would not cover the writes of libraries. */
export const sendBufferCheckMs = 1_000;
