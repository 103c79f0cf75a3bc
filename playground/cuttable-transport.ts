import { WebSocket as WebSocketTransport } from 'socket.io-client';

/** A transport whose connection can be cut, as happens in a tunnel or when a laptop is closed. */
export function createCuttableTransport() {
  let open: WebSocket | undefined;
  class Cuttable extends WebSocketTransport {
    override createSocket(...how: Parameters<WebSocketTransport['createSocket']>): WebSocket {
      open = super.createSocket(...how) as WebSocket;
      return open;
    }

    // After the cut, the client goes on sending until `close` arrives. The browser reports each such frame as an error.
    override doWrite(...frame: Parameters<WebSocketTransport['doWrite']>): void {
      if (open?.readyState === WebSocket.OPEN) super.doWrite(...frame);
    }
  }
  return { transport: Cuttable, cut: () => open?.close() };
}
