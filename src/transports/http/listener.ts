import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { rejectUpgrade } from '../reject-upgrade.ts';
import { closeAfterUnreadBody } from './discard-body.ts';
import { answerMalformedRequests } from './malformed-request.ts';

/** Where requests come from: a port of our own, or a part of somebody else's server. */
export interface Listener {
  /** What the transports serve; its paths begin at `/`, wherever it is mounted. */
  http: HttpServer;
  /** Begins to take requests. */
  open(): Promise<void>;
  /** Where it is. */
  address(): { url: string; port: number };
  /** Resolves when what was asked has been answered. A port of our own takes nothing new from now on. */
  finish(): Promise<unknown>;
  /** Cuts what is still being answered. */
  cut(): void;
}

const isWebSocket = ({ headers }: IncomingMessage) => headers.upgrade?.toLowerCase() === 'websocket';

export interface OwnPort {
  port: number;
  /** `::`: every address of this machine, IPv6 and IPv4. */
  host: string;
  /** For the next request on a connection. */
  keepAliveMs: number;
  headersTimeoutMs: number;
  requestTimeoutMs: number;
  /** 0: no limit. */
  maxConnections: number;
  /** Called at most once a minute while connections are refused. */
  onFull: () => void;
}

export function createOwnListener({ port, host, ...settings }: OwnPort): Listener {
  const http = createServer({
    requireHostHeader: false,
    maxHeaderSize: maxHeaderBytes,
    keepAliveTimeout: settings.keepAliveMs,
    headersTimeout: settings.headersTimeoutMs,
    requestTimeout: settings.requestTimeoutMs,
    connectionsCheckingInterval: 1_000,
    // Others, as to HTTP/2 without TLS, are offers that come with a request which wants its answer all the same.
    shouldUpgradeCallback: isWebSocket,
  });
  answerMalformedRequests(http);
  limitConnections(http, settings);
  let answered: Promise<unknown> | undefined;
  return {
    http,
    open() {
      prependUpgradeHandler(http);
      return listen(http, port, host);
    },
    address: () => getAddress(http)!,
    finish() {
      answered ??= new Promise((resolve) => http.close(resolve));
      http.closeIdleConnections();
      return answered;
    },
    cut: () => http.closeAllConnections(),
  };
}

/** Twice what the balancers of `deploy/` let a header have, so that a token and cookies fit. */
const maxHeaderBytes = 32_768;

function limitConnections(
  http: HttpServer,
  { maxConnections, onFull }: Pick<OwnPort, 'maxConnections' | 'onFull'>,
): void {
  if (maxConnections === 0) return;
  http.maxConnections = maxConnections;
  let makesRoom = true;
  let reports = true;
  http.on('drop', () => {
    // What only waits for its next request makes room first; not for each of many newcomers, as it looks at all connections.
    if (makesRoom) {
      makesRoom = false;
      http.closeIdleConnections();
      setTimeout(() => {
        makesRoom = true;
      }, 1_000).unref();
    }
    if (!reports) return;
    reports = false;
    onFull();
    setTimeout(() => {
      reports = true;
    }, 60_000).unref();
  });
}

/** `GET http://chat.example/rooms`, as clients ask a proxy: every transport sees the path alone. */
function toOriginForm(request: IncomingMessage): void {
  request.url = toOriginPath(request.url);
}

function toOriginPath(url = ''): string {
  if (url.startsWith('/')) return url;
  const path = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*(.*)$/is.exec(url)?.[1];
  if (path === undefined) return url;
  return path.startsWith('/') ? path : `/${path}`;
}

/** What concerns every request, whichever transport serves it. */
function prependUpgradeHandler(http: HttpServer): void {
  http.prependListener('request', closeAfterUnreadBody);
  for (const event of ['request', 'upgrade']) http.prependListener(event, toOriginForm);
}

export function listen(server: HttpServer, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException) => reject(toListenError(error, port, host));
    server.once('error', refuse);
    // Without a host Node.js takes `::` for both families, and 0.0.0.0 on a machine without IPv6.
    server.listen({ port, ...(host !== '::' && { host }) }, () => {
      server.off('error', refuse);
      resolve();
    });
  });
}

/** Says what to do where a setting is at fault. */
function toListenError(error: NodeJS.ErrnoException, port: number, host: string): Error {
  const reasons: Record<string, string> = {
    EADDRINUSE: `Port ${port} is in use on ${host}. Set PORT (or METRICS_PORT) to a free port, or stop the process that has it`,
    EACCES: `This account may not listen on port ${port}. Set PORT (or METRICS_PORT) to 1024 or above`,
    EADDRNOTAVAIL: `${host} is not an address of this machine. Set HOST to one of its addresses, or leave HOST out`,
    EAFNOSUPPORT: `This machine has no addresses of the kind of ${host}. Set HOST to another address, or leave HOST out`,
    ENOTFOUND: `The name ${host} has no address. Set HOST to an address of this machine`,
  };
  const reason = reasons[error.code ?? ''];
  return reason ? Object.assign(new Error(reason, { cause: error }), { code: error.code }) : error;
}

function getAddress(server: HttpServer | HttpsServer, scheme = 'http'): { url: string; port: number } | undefined {
  const bound = server.address() as AddressInfo | null;
  if (!bound || typeof bound === 'string') return undefined;
  const { address, family, port } = bound;
  const host = address === '0.0.0.0' || address === '::' ? 'localhost' : family === 'IPv6' ? `[${address}]` : address;
  return { url: `${scheme}://${host}:${port}`, port };
}

/** Somebody else's server, of which what lies below a path is ours. */
export interface Mount {
  server: HttpServer | HttpsServer;
  /** `/messaging`: begins with a slash, and does not end with one. */
  prefix: string;
}

/** Listeners that only make a server upgrade; they are nobody's service. */
const placeholders = new WeakSet<object>();

type Emit = (event: string | symbol, ...args: unknown[]) => boolean;
type Upgrading = { shouldUpgradeCallback?: ((request: IncomingMessage) => boolean) | undefined };

/**
 * Takes what lies below the prefix out of the events of the server, before any listener hears of it, whether that was
 * there before or comes later. Everything else goes the way it went. A server of ours, which never listens, is given it.
 */
export function createMountedListener({ server: outer, prefix }: Mount): Listener {
  const http = createServer();
  answerMalformedRequests(http);
  const answering = new Set<ServerResponse>();
  let whenAnswered = () => {};
  let isOpen = false;

  /** Undefined for what is not ours. */
  function pathBelow(request: IncomingMessage): string | undefined {
    const url = toOriginPath(request.url);
    if (!url.startsWith(prefix)) return undefined;
    const rest = url.slice(prefix.length);
    return rest.startsWith('/') ? rest : rest === '' || rest.startsWith('?') ? `/${rest}` : undefined;
  }

  function take(request: IncomingMessage, response: ServerResponse): void {
    answering.add(response);
    response.once('close', () => {
      answering.delete(response);
      if (answering.size === 0) whenAnswered();
    });
    // Relative links of a page need the slash.
    const url = toOriginPath(request.url);
    if (url.split('?', 1)[0] === prefix && request.method === 'GET') {
      return void response.writeHead(308, { Location: `${prefix}/${url.slice(prefix.length)}` }).end();
    }
    request.url = pathBelow(request);
    http.emit('request', request, response);
  }

  const passOn = outer.emit as Emit;
  const emit: Emit = function (this: unknown, event, ...args) {
    const request = args[0] as IncomingMessage;
    const isRequest = event === 'request' || event === 'checkContinue';
    if (!isOpen || !(isRequest || event === 'upgrade' || event === 'checkExpectation') || !pathBelow(request)) {
      return passOn.call(outer, event, ...args);
    }
    if (event === 'checkContinue') (args[1] as ServerResponse).writeContinue();
    if (isRequest) take(request, args[1] as ServerResponse);
    else {
      request.url = pathBelow(request);
      http.emit(event as string, ...args);
    }
    return true;
  };

  /**
   * Node.js upgrades nothing on a server without a listener for it, so there is one, which must not be taken for one of
   * the app's: where the app has none its requests stay requests (since Node.js 24.9), or are refused, for they would hang.
   */
  function takeUpgrades(): () => void {
    const appServesUpgrades = () => outer.listeners('upgrade').some((listener) => !placeholders.has(listener));
    const refuse = (_request: IncomingMessage, socket: Duplex) => {
      if (!appServesUpgrades()) rejectUpgrade(socket, '404 Not Found');
    };
    placeholders.add(refuse);
    outer.on('upgrade', refuse);
    const upgrading = outer as Upgrading;
    const asked = upgrading.shouldUpgradeCallback;
    const ask = (request: IncomingMessage) =>
      pathBelow(request) ? isWebSocket(request) : appServesUpgrades() && (asked?.call(outer, request) ?? true);
    upgrading.shouldUpgradeCallback = ask;
    return () => {
      outer.off('upgrade', refuse);
      if (upgrading.shouldUpgradeCallback === ask) upgrading.shouldUpgradeCallback = asked;
    };
  }

  let leaveUpgrades = () => {};
  return {
    http,
    async open() {
      prependUpgradeHandler(http);
      outer.emit = emit as typeof outer.emit;
      leaveUpgrades = takeUpgrades();
      isOpen = true;
    },
    address() {
      const bound = getAddress(outer, 'setSecureContext' in outer ? 'https' : 'http');
      return { url: `${bound?.url ?? ''}${prefix}`, port: bound?.port ?? 0 };
    },
    finish: () =>
      new Promise<void>((resolve) => {
        whenAnswered = resolve;
        if (answering.size === 0) resolve();
      }),
    cut() {
      for (const response of answering) response.destroy();
      isOpen = false;
      leaveUpgrades();
      // Whoever came after us keeps us in the chain; then we only pass on.
      if (outer.emit === (emit as typeof outer.emit)) outer.emit = passOn as typeof outer.emit;
    },
  };
}
