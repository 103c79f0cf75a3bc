import { randomBytes } from 'node:crypto';

/**
 * What an adapter takes for a socket: in a room it gets what the room gets, from every node, before it is encoded
 * (`Adapter.broadcast` of socket.io-adapter 2.5 calls nothing else). Its id is as long as a socket's, by which the
 * sharded adapter tells sockets from rooms.
 */
export function createRelaySocket(onMessage: (name: unknown, body: unknown) => void) {
  return {
    id: randomBytes(10).toString('hex'),
    client: { writeToEngine() {} },
    notifyOutgoingListeners: ({ data }: { data: unknown }) => {
      const [name, body] = Array.isArray(data) ? data : [];
      onMessage(name, body);
    },
    handshake: {},
    data: {},
    rooms: new Set<string>(),
    acks: new Map(),
    join() {},
    leave() {},
    disconnect() {},
    _onclose() {},
  };
}
