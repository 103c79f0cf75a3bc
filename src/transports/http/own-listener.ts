import { createServer, type Server as HttpServer } from 'node:http';
import type { Logger } from 'pino';
import type { Config } from '../../config/config.ts';
import { getAddress, isWebSocket, type Listener, prependRequestHooks } from './listener.ts';
import { answerMalformedRequests } from './malformed-request.ts';
import { readMaxOpenFiles, reservedFiles } from './open-files.ts';

export interface OwnPort {
  port: number;
  /** `::` means all addresses of this machine, IPv6 and IPv4. */
  host: string;
  /** How long an idle connection stays open. */
  keepAliveMs: number;
  headersTimeoutMs: number;
  requestTimeoutMs: number;
  /** 0 means no limit. */
  maxConnections: number;
  /** Called at most once a minute while new connections are rejected. */
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
    // A server may ignore other upgrades, such as to HTTP/2 without TLS. The client then expects an ordinary answer.
    shouldUpgradeCallback: isWebSocket,
  });
  answerMalformedRequests(http);
  limitConnections(http, settings);
  let answered: Promise<unknown> | undefined;
  return {
    http,
    open() {
      prependRequestHooks(http);
      return listen(http, port, host);
    },
    address: () => getAddress(http)!,
    finish() {
      answered ??= new Promise((resolve) => http.close(resolve));
      http.closeIdleConnections();
      return answered;
    },
    terminate: () => http.closeAllConnections(),
  };
}

/** Twice the limit of the balancers in `deploy/`, so that a token and cookies fit. */
export const maxHeaderBytes = 32_768;

function limitConnections(
  http: HttpServer,
  { maxConnections, onFull }: Pick<OwnPort, 'maxConnections' | 'onFull'>,
): void {
  if (maxConnections === 0) return;
  http.maxConnections = maxConnections;
  // A worker closes the connections that it refuses. Otherwise the primary would offer them to the other workers again and
  // again while all of them are full.
  (http as { dropMaxConnection?: boolean }).dropMaxConnection = true;
  let mayCloseIdle = true;
  let mayReport = true;
  http.on('drop', () => {
    // Closes idle connections in favour of new ones, at most once a second, because it iterates over all connections.
    if (mayCloseIdle) {
      mayCloseIdle = false;
      http.closeIdleConnections();
      setTimeout(() => {
        mayCloseIdle = true;
      }, 1_000).unref();
    }
    if (!mayReport) return;
    mayReport = false;
    onFull();
    setTimeout(() => {
      mayReport = true;
    }, 60_000).unref();
  });
}

export function toOwnPort({ port, host, http, database }: Config, logger: Logger): OwnPort {
  // Each connection is an open file. If the process reached its limit of open files, it could no longer connect to its
  // database.
  const allowed = Math.max(readMaxOpenFiles() - reservedFiles, 1);
  const wanted = http.maxConnections || Infinity;
  const maxConnections = Math.min(wanted, allowed);
  if (maxConnections < wanted && wanted < Infinity && database.mode === 'postgres') {
    const advice = `start the server with ulimit -n ${wanted + reservedFiles}, or set MAX_CONNECTIONS to ${allowed}`;
    logger.warn({ maxConnections }, `the limit of open files is too low for MAX_CONNECTIONS; ${advice}`);
  }
  const onFull = () =>
    logger.warn({ maxConnections }, 'new connections are rejected: the server has MAX_CONNECTIONS connections');
  return { port, host, ...http, maxConnections: maxConnections === Infinity ? 0 : maxConnections, onFull };
}

/**
 * How many connections the kernel accepts ahead of the process; it lowers this to its `somaxconn`. With the default of
 * Node.js (511), the kernel drops connections if thousands of clients reconnect in the same second, and each of them then
 * waits for seconds before it tries again.
 */
const maxWaitingConnections = 65_535;

export function listen(server: HttpServer, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException) => reject(toListenError(error, port, host));
    server.once('error', onError);
    // Without a host, Node.js listens on `::` for IPv6 and IPv4, or on 0.0.0.0 if the machine has no IPv6.
    server.listen({ port, ...(host !== '::' && { host }), backlog: maxWaitingConnections }, () => {
      server.off('error', onError);
      resolve();
    });
  });
}

/** Explains which setting to change. */
function toListenError(error: NodeJS.ErrnoException, port: number, host: string): Error {
  const reasons: Record<string, string> = {
    EADDRINUSE: `Port ${port} is in use on ${host}. Set PORT (or METRICS_PORT, ADMIN_PORT) to a free port, or stop the process that uses it`,
    EACCES: `This account may not listen on port ${port}. Set PORT (or METRICS_PORT, ADMIN_PORT) to 1024 or above`,
    EADDRNOTAVAIL: `${host} is not an address of this machine. Set HOST to one of its addresses, or leave HOST out`,
    EAFNOSUPPORT: `This machine has no addresses of the same family as ${host}. Set HOST to another address, or leave HOST out`,
    ENOTFOUND: `The host name ${host} cannot be resolved. Set HOST to an address of this machine`,
  };
  const reason = reasons[error.code ?? ''];
  return reason ? Object.assign(new Error(reason, { cause: error }), { code: error.code }) : error;
}
