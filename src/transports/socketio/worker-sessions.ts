import { randomBytes } from 'node:crypto';
import {
  Agent,
  createServer,
  type Server as HttpServer,
  type IncomingMessage,
  request,
  ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { forgetResponse } from '../../patches/engineio-forget-request.ts';
import { adoptSocket, prepareHandover } from '../../patches/net-socket-handover.ts';

/** The workers that share the port with this one. */
export interface OtherWorkers {
  /** The id of this worker. */
  readonly own: number;
  /** The port on 127.0.0.1 on which another worker takes requests. Undefined if the worker does not exist. */
  findPort(worker: number): number | undefined;
  /** Passes a connection to another worker, with the bytes that were read from it, in base64. */
  passSocket(worker: number, received: string, socket: Socket): Promise<void>;
  onSocket(listener: (received: string, socket: Socket) => void): void;
}

export interface WorkerSessions {
  generateId(): string;
  /** A middleware of engine.io. Calls `next` if this worker has the session, or if no worker has it. */
  route(request: IncomingMessage, response: ServerResponse | { socket: Duplex }, next: () => void): void;
  /** Opens the port for the requests of other workers, and resolves with its number. */
  open(): Promise<number>;
  close(): void;
}

/**
 * A session of Socket.IO exists in one worker, but any worker may accept a connection with a request of it. The worker
 * that got the request finds the worker of the session in the session's id. It forwards a long-polling request to that
 * worker over HTTP, because other requests on the same connection may belong to other sessions. It passes on the
 * connection of a WebSocket, so that the messages take no detour.
 */
export function createWorkerSessions(
  http: HttpServer,
  { nodeName, maxHeaderSize }: { nodeName: string | undefined; maxHeaderSize: number },
  workers: OtherWorkers,
): WorkerSessions {
  const prefix = nodeName ? `${nodeName}.` : '';
  const agent = new Agent({ keepAlive: true });
  const heads = new WeakMap<IncomingMessage, Buffer>();
  http.prependListener('upgrade', (upgrade, _socket, head) => void heads.set(upgrade, head));
  workers.onSocket((received, socket) => adoptSocket(http, socket, Buffer.from(received, 'base64')));
  const inner = createServer({ requireHostHeader: false, maxHeaderSize, keepAliveTimeout }, (forwarded, response) => {
    // Only other workers use this port, and they forward only requests of sessions that this worker has.
    if (findWorker(forwarded) === workers.own) http.emit('request', forwarded, response);
    else response.writeHead(404).end();
  });

  function forward(incoming: IncomingMessage, response: ServerResponse, port: number, giveUp: () => void): void {
    const { method, url, rawHeaders } = incoming;
    const outgoing = request({ host: '127.0.0.1', port, method, path: url, headers: endToEnd(rawHeaders), agent });
    outgoing.on('response', (answer) => {
      response.writeHead(answer.statusCode!, endToEnd(answer.rawHeaders));
      answer.on('error', () => response.destroy()).pipe(response);
    });
    outgoing.on('error', () => {
      if (response.headersSent) response.destroy();
      else giveUp();
    });
    response.on('close', () => {
      if (!response.writableFinished) outgoing.destroy();
    });
    incoming.pipe(outgoing);
  }

  function pass(upgrade: IncomingMessage, response: { socket: Duplex }, worker: number): void {
    forgetResponse(response);
    const socket = response.socket as Socket;
    const received = Buffer.concat([Buffer.from(formatHead(upgrade), 'latin1'), heads.get(upgrade) ?? noBytes]);
    prepareHandover(socket);
    const end = () => socket.destroy();
    workers.passSocket(worker, received.toString('base64'), socket).then(end, end);
  }

  return {
    generateId: () => `${prefix}${workers.own}-${randomBytes(15).toString('base64url')}`,
    route(incoming, response, next) {
      const worker = findWorker(incoming);
      const port = worker === undefined || worker === workers.own ? undefined : workers.findPort(worker);
      if (port === undefined) next();
      else if (response instanceof ServerResponse) forward(incoming, response, port, next);
      else pass(incoming, response, worker!);
    },
    open: () =>
      new Promise((resolve, reject) => {
        inner.once('error', reject);
        // `exclusive`: the primary must not share this port among the workers.
        inner.listen({ port: 0, host: '127.0.0.1', exclusive: true }, () => {
          resolve((inner.address() as AddressInfo).port);
        });
      }),
    close() {
      agent.destroy();
      inner.close();
      inner.closeAllConnections();
    },
  };
}

/** Longer than the time between two polls, so that the connections between the workers are reused. */
const keepAliveTimeout = 60_000;
const noBytes = Buffer.alloc(0);

/** Finds the worker in the id of the session: `worker-…`, or `node.worker-…` if the node has a name. */
function findWorker({ url = '/' }: IncomingMessage): number | undefined {
  const sid = URL.parse(url, 'http://any')?.searchParams.get('sid') ?? '';
  const worker = /^(?:.*\.)?(\d{1,9})-/.exec(sid)?.[1];
  return worker === undefined ? undefined : Number(worker);
}

/** Headers that concern only one connection. */
const hopByHop = /^(connection|keep-alive|transfer-encoding|upgrade|proxy-connection|te|trailer|expect)$/i;

function endToEnd(rawHeaders: readonly string[]): string[] {
  const kept: string[] = [];
  for (let n = 0; n < rawHeaders.length; n += 2) {
    if (!hopByHop.test(rawHeaders[n]!)) kept.push(rawHeaders[n]!, rawHeaders[n + 1]!);
  }
  return kept;
}

function formatHead({ method, url, rawHeaders }: IncomingMessage): string {
  const parts = [`${method} ${url} HTTP/1.1`];
  for (let n = 0; n < rawHeaders.length; n += 2) parts.push(`${rawHeaders[n]}: ${rawHeaders[n + 1]}`);
  return `${parts.join('\r\n')}\r\n\r\n`;
}
