import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { rejectUpgrade } from '../reject-upgrade.ts';
import { getAddress, isWebSocket, type Listener, prependRequestHooks, toOriginPath } from './listener.ts';
import { answerMalformedRequests } from './malformed-request.ts';

/** The server of an app, and the path below which this service is mounted on it. */
export interface Mount {
  server: HttpServer | HttpsServer;
  /** Starts with a slash and does not end with one, for example `/messaging`. */
  prefix: string;
}

/** The `upgrade` listeners that this module adds. They are not counted as listeners of the app, which may have none. */
const placeholders = new WeakSet<object>();

type Emit = (event: string | symbol, ...args: unknown[]) => boolean;
type Upgrading = { shouldUpgradeCallback?: ((request: IncomingMessage) => boolean) | undefined };

/**
 * Replaces `emit` of the app's server. If the path of a request is below the prefix, its events are emitted on an inner
 * server, which listens on no port. All other events reach the listeners of the app as before.
 */
export function createMountedListener({ server: outer, prefix }: Mount): Listener {
  const http = createServer();
  answerMalformedRequests(http);
  const unanswered = new Set<ServerResponse>();
  let onAllAnswered = () => {};
  let isOpen = false;

  /** Returns the path without the prefix, or undefined if the path is not below the prefix. */
  function getPathBelow(request: IncomingMessage): string | undefined {
    const url = toOriginPath(request.url);
    if (!url.startsWith(prefix)) return undefined;
    const rest = url.slice(prefix.length);
    return rest.startsWith('/') ? rest : rest === '' || rest.startsWith('?') ? `/${rest}` : undefined;
  }

  function handleRequest(request: IncomingMessage, response: ServerResponse): void {
    unanswered.add(response);
    response.once('close', () => {
      unanswered.delete(response);
      if (unanswered.size === 0) onAllAnswered();
    });
    // The relative links of the page only work if its URL ends with a slash.
    const url = toOriginPath(request.url);
    if (url.split('?', 1)[0] === prefix && request.method === 'GET') {
      return void response.writeHead(308, { Location: `${prefix}/${url.slice(prefix.length)}` }).end();
    }
    request.url = getPathBelow(request);
    http.emit('request', request, response);
  }

  const appEmit = outer.emit as Emit;
  const emit: Emit = function (this: unknown, event, ...args) {
    const request = args[0] as IncomingMessage;
    const isRequest = event === 'request' || event === 'checkContinue';
    if (!isOpen || !(isRequest || event === 'upgrade' || event === 'checkExpectation') || !getPathBelow(request)) {
      return appEmit.call(outer, event, ...args);
    }
    if (event === 'checkContinue') (args[1] as ServerResponse).writeContinue();
    if (isRequest) handleRequest(request, args[1] as ServerResponse);
    else {
      request.url = getPathBelow(request);
      http.emit(event as string, ...args);
    }
    return true;
  };

  /**
   * Node.js handles upgrades only on a server with an `upgrade` listener, so this adds a placeholder. If the app has no
   * `upgrade` listener, an upgrade request to the app must not hang: Node.js treats it as an ordinary request (since
   * 24.9, through `shouldUpgradeCallback`), or the placeholder rejects it.
   */
  function interceptUpgrades(): () => void {
    const appServesUpgrades = () => outer.listeners('upgrade').some((listener) => !placeholders.has(listener));
    const rejectIfUnserved = (_request: IncomingMessage, socket: Duplex) => {
      if (!appServesUpgrades()) rejectUpgrade(socket, '404 Not Found');
    };
    placeholders.add(rejectIfUnserved);
    outer.on('upgrade', rejectIfUnserved);
    const upgrading = outer as Upgrading;
    const appCallback = upgrading.shouldUpgradeCallback;
    const shouldUpgrade = (request: IncomingMessage) =>
      getPathBelow(request) ? isWebSocket(request) : appServesUpgrades() && (appCallback?.call(outer, request) ?? true);
    upgrading.shouldUpgradeCallback = shouldUpgrade;
    return () => {
      outer.off('upgrade', rejectIfUnserved);
      if (upgrading.shouldUpgradeCallback === shouldUpgrade) upgrading.shouldUpgradeCallback = appCallback;
    };
  }

  let restoreUpgrades = () => {};
  return {
    http,
    async open() {
      prependRequestHooks(http);
      outer.emit = emit as typeof outer.emit;
      restoreUpgrades = interceptUpgrades();
      isOpen = true;
    },
    address() {
      const bound = getAddress(outer, 'setSecureContext' in outer ? 'https' : 'http');
      return { url: `${bound?.url ?? ''}${prefix}`, port: bound?.port ?? 0 };
    },
    finish: () =>
      new Promise<void>((resolve) => {
        onAllAnswered = resolve;
        if (unanswered.size === 0) resolve();
      }),
    terminate() {
      for (const response of unanswered) response.destroy();
      isOpen = false;
      restoreUpgrades();
      // If other code has wrapped `emit` since `open`, its wrapper still calls ours, which then only passes events on.
      if (outer.emit === (emit as typeof outer.emit)) outer.emit = appEmit as typeof outer.emit;
    },
  };
}
