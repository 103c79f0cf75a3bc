import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { refuseUpgrade } from './transports/refuse-upgrade.ts';
import { answerUnreadable } from './transports/rest/unreadable-request.ts';

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

/** Longer than a balancer keeps a connection for the next request, so that it never sends one into a closing one. */
const keepAliveMs = 75_000;

const isWebSocket = ({ headers }: IncomingMessage) => headers.upgrade?.toLowerCase() === 'websocket';

export function ownListener(port: number, host: string): Listener {
  const http = createServer({
    requireHostHeader: false,
    keepAliveTimeout: keepAliveMs,
    // Others, as to HTTP/2 without TLS, are offers that come with a request which wants its answer all the same.
    shouldUpgradeCallback: isWebSocket,
  });
  answerUnreadable(http);
  let answered: Promise<unknown> | undefined;
  return {
    http,
    open: () => listen(http, port, host),
    address: () => addressOf(http)!,
    finish() {
      answered ??= new Promise((resolve) => http.close(resolve));
      http.closeIdleConnections();
      return answered;
    },
    cut: () => http.closeAllConnections(),
  };
}

export function listen(server: HttpServer, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function addressOf(server: HttpServer | HttpsServer, scheme = 'http'): { url: string; port: number } | undefined {
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
export function mountedListener({ server: outer, prefix }: Mount): Listener {
  const http = createServer();
  answerUnreadable(http);
  const answering = new Set<ServerResponse>();
  let whenAnswered = () => {};
  let isOpen = false;

  /** Undefined for what is not ours. */
  function pathBelow(request: IncomingMessage): string | undefined {
    const { url = '' } = request;
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
    if (request.url!.split('?', 1)[0] === prefix && request.method === 'GET') {
      return void response.writeHead(308, { Location: `${prefix}/${request.url!.slice(prefix.length)}` }).end();
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
      if (!appServesUpgrades()) refuseUpgrade(socket, '404 Not Found');
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
      outer.emit = emit as typeof outer.emit;
      leaveUpgrades = takeUpgrades();
      isOpen = true;
    },
    address() {
      const bound = addressOf(outer, 'setSecureContext' in outer ? 'https' : 'http');
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
