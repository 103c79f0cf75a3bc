import { io, type ManagerOptions, type Socket, type SocketOptions } from 'socket.io-client';
import { namespace } from '../../src/core/contract/socketio.ts';
import {
  undocumentedAck,
  undocumentedConnect,
  undocumentedConnectError,
  undocumentedEvent,
} from './asyncapi-checks.ts';
import { closeLater, reportViolation } from './cleanup.ts';
import type { RequestName } from './contracts.ts';
import { frameQueue } from './frame-queue.ts';
import type { Json } from './json.ts';
import type { TestUser } from './users.ts';

export interface ReceivedEvent {
  name: string;
  payload: Json;
}

export type SocketClient = Awaited<ReturnType<typeof socketClient>>;

type Options = Partial<ManagerOptions & SocketOptions>;

const ackTimeoutMs = 15_000;

/**
 * A connected Socket.IO client in namespace `/rooms`. Unlike the default, it does not reconnect unless the options say
 * so.
 */
export async function socketClient(url: string, { token }: Pick<TestUser, 'token'>, options: Options = {}) {
  const raw = io(url + namespace, { auth: { token }, forceNew: true, reconnection: false, ...options });
  closeLater(() => raw.disconnect());
  const events = frameQueue<ReceivedEvent>();
  raw.onAny((name: string, payload: unknown) => {
    const problem = undocumentedEvent(name, payload);
    events.push({ name, payload });
    if (problem) events.end(reportViolation(`${name} ${JSON.stringify(payload)}: ${problem}`));
  });
  const closed = new Promise<string>((resolve) => {
    raw.once('disconnect', (reason) => {
      if (!options.reconnection) events.end(new Error(`Disconnected: ${reason}`));
      resolve(reason);
    });
  });
  await connected(raw);
  const problem = 'auth' in options ? undefined : undocumentedConnect({ token });
  if (problem) throw reportViolation(problem);
  return {
    raw,
    /** Resolves with the reason of the first disconnection. */
    closed,
    /** Returns the acknowledgement, whether successful or not, after checking it against the document. */
    async request(name: RequestName, ...payload: unknown[]): Promise<Json> {
      const ack = await raw.timeout(ackTimeoutMs).emitWithAck(name, ...payload);
      const problem = undocumentedAck(name, payload[0], ack);
      if (problem) throw reportViolation(`The acknowledgement of ${name}, ${JSON.stringify(ack)}: ${problem}`);
      return ack;
    },
    /** The payload of the next event, or of the next event with this name. */
    next: async (name?: string): Promise<Json> =>
      (await events.take(name ?? 'an event', (one) => name === undefined || one.name === name)).payload,
    nextOfAny: () => events.take('an event'),
    /** Received events that the test has not taken. */
    unread: events.unread,
    close: () => raw.disconnect(),
  };
}

/** Resolves with the data of `connect_error` when the connection is rejected. */
export async function expectConnectError(url: string, auth: unknown, path: string = namespace): Promise<Json> {
  const raw = io(url + path, { auth: auth as { [key: string]: unknown }, forceNew: true, reconnection: false });
  closeLater(() => raw.disconnect());
  const refusal = await connected(raw).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!refusal) throw new Error('The server accepted a connection that it should have rejected');
  return refusal;
}

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', (error: Error & { data?: unknown }) => {
      // Without data, the error is from the transport: the server did not answer.
      const problem = error.data === undefined ? undefined : undocumentedConnectError(error.data);
      reject(problem ? reportViolation(`connect_error ${JSON.stringify(error.data)}: ${problem}`) : error);
    });
  });
}
