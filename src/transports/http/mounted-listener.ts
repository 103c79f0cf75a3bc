import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { rejectUpgrade } from '../reject-upgrade.ts';
import { getAddress, isWebSocket, type Listener, prependRequestHooks, toOriginPath } from './listener.ts';
import { answerMalformedRequests } from './malformed-request.ts';

/** An existing server of an app; the service serves what is below `prefix`. */
export interface Mount {
  server: HttpServer | HttpsServer;
  /** `/messaging`: begins with a slash, and does not end with one. */
  prefix: string;
}

/** Listeners that only make a server upgrade; they serve nothing. */
const placeholders = new WeakSet<object>();

type Emit = (event: string | symbol, ...args: unknown[]) => boolean;
type Upgrading = { shouldUpgradeCallback?: ((request: IncomingMessage) => boolean) | undefined };

/**
 * Intercepts the events of the server whose path is below the prefix, before any of its listeners, and emits them on an
 * inner server that never listens. Everything else reaches the listeners of the app as before.
 */
export function createMountedListener({ server: outer, prefix }: Mount): Listener {
  const http = createServer();
  answerMalformedRequests(http);
  const answering = new Set<ServerResponse>();
  let whenAnswered = () => {};
  let isOpen = false;

  /** Undefined if the path is not below the prefix. */
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
    // Relative links of the page need the slash at the end.
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
   * Node.js upgrades nothing on a server without an `upgrade` listener, so this adds a placeholder. It must not count as a
   * listener of the app: without one, the app's requests stay requests (since Node.js 24.9) or are refused, or they hang.
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
      prependRequestHooks(http);
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
    terminate() {
      for (const response of answering) response.destroy();
      isOpen = false;
      leaveUpgrades();
      // If another wrapper was installed after this one, it still calls this one, which then only passes events on.
      if (outer.emit === (emit as typeof outer.emit)) outer.emit = passOn as typeof outer.emit;
    },
  };
}
