import { WebSocket as WebSocketTransport } from 'socket.io-client';

/** A transport whose connection can be cut, as happens in a tunnel or when a laptop is closed. */
export function createCuttableTransport() {
  let open: WebSocket | undefined;
  class Cuttable extends WebSocketTransport {
    override createSocket(...how: Parameters<WebSocketTransport['createSocket']>): WebSocket {
      open = super.createSocket(...how) as WebSocket;
      return open;
    }
  }
  return { transport: Cuttable, cut: () => open?.close() };
}
