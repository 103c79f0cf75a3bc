/** The connection is closed after this many invalid tokens. */
export const maxInvalidTokens = 3;
/** What a connection may send before its token is accepted. */
export const unauthenticatedFrameBytes = 4_096;
/** How much may queue behind the token while it is verified. */
export const unauthenticatedBurstBytes = 65_536;
/** A peer that does not take part in the closing handshake is disconnected after this. */
export const closeTimeoutMs = 1_000;
/** How often the send buffers of all connections are checked: libraries write, too. */
export const sendBufferCheckMs = 1_000;
