import { createServer, type Server as HttpServer } from 'node:http';
import type { Logger } from 'pino';
import type { Config } from '../../config/config.ts';
import { getAddress, isWebSocket, type Listener, prependRequestHooks } from './listener.ts';
import { answerMalformedRequests } from './malformed-request.ts';
import { readMaxOpenFiles, reservedFiles } from './open-files.ts';

export interface OwnPort {
  port: number;
  /** `::`: every address of this machine, IPv6 and IPv4. */
  host: string;
  /** How long an idle connection waits for its next request. */
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
    // Other upgrades, such as to HTTP/2 without TLS, are offers; the request still expects an answer.
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
    // Idle connections make room, at most once a second, because that iterates over all connections.
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

export function toOwnPort({ port, host, http, database }: Config, logger: Logger): OwnPort {
  // Each connection takes an open file, and a process without free ones cannot reach its database either.
  const allowed = Math.max(readMaxOpenFiles() - reservedFiles, 1);
  const wanted = http.maxConnections || Infinity;
  const maxConnections = Math.min(wanted, allowed);
  if (maxConnections < wanted && wanted < Infinity && database.mode === 'postgres') {
    const advice = `start it with ulimit -n ${wanted + reservedFiles}, or set MAX_CONNECTIONS to ${allowed}`;
    logger.warn({ maxConnections }, `the limit of open files is too low for MAX_CONNECTIONS; ${advice}`);
  }
  const onFull = () => logger.warn({ maxConnections }, 'connections are refused: there are MAX_CONNECTIONS of them');
  return { port, host, ...http, maxConnections: maxConnections === Infinity ? 0 : maxConnections, onFull };
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

/** Adds what to do if a setting is wrong. */
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
