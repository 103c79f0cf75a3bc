import { Counter, Histogram, type Registry } from 'prom-client';
import { ErrorCode } from '../../core/errors.ts';
import type { Contract } from '../../core/feature.ts';
import { type LimitEvents, type LimitName, limitNames } from '../../core/limits/request-limits.ts';
import type { HttpMetrics } from '../../transports/http/request-metrics.ts';
import type { LiveMetrics, LiveTransport } from '../../transports/live-context.ts';
import { type Cell, registerCounter, registerGauge } from './fast-metrics.ts';

const transports: readonly LiveTransport[] = ['socketio', 'chat'];

/**
 * Lists the names of all requests and commands. Any other name is counted as `unknown`, so that clients cannot invent
 * labels.
 */
function listNames(contracts: readonly Contract[]): Record<LiveTransport, string[]> {
  return {
    socketio: [...contracts.flatMap(({ requests }) => Object.keys(requests)), 'unknown'],
    chat: [...contracts.flatMap(({ commands }) => Object.keys(commands)), 'unknown'],
  };
}

/** Creates the metrics of connections, requests and refusals. */
export function createTrafficMetrics(
  registers: Registry[],
  contracts: readonly Contract[],
): {
  live: LiveMetrics;
  http: HttpMetrics;
  limits: LimitEvents;
} {
  const open = { socketio: 0, chat: 0 };
  const opened = { socketio: 0, chat: 0 };
  registerGauge({
    name: 'nano_messaging_connections',
    help: 'Live connections with a token, and connections on /chat that have no token yet.',
    labelNames: ['transport'],
    registers,
    read: () => transports.map((transport): Cell => [{ transport }, open[transport]]),
  });
  registerCounter({
    name: 'nano_messaging_connections_opened_total',
    help: 'Live connections that were accepted.',
    labelNames: ['transport'],
    registers,
    read: () => transports.map((transport): Cell => [{ transport }, opened[transport]]),
  });
  const slowConsumers = new Counter({
    name: 'nano_messaging_slow_consumers_closed_total',
    help: 'Connections that were closed because they left more unread than MAX_SEND_BUFFER_BYTES.',
    labelNames: ['transport'],
    registers,
  });
  for (const transport of transports) slowConsumers.inc({ transport }, 0);
  const refusals = new Counter({
    name: 'nano_messaging_refusals_total',
    help: 'Requests that were refused, by error code.',
    labelNames: ['transport', 'code'],
    registers,
  });
  for (const transport of [...transports, 'rest']) {
    for (const code of ErrorCode.options) refusals.inc({ transport, code }, 0);
  }
  return {
    live: {
      connected(transport) {
        open[transport] += 1;
        opened[transport] += 1;
      },
      disconnected(transport) {
        open[transport] -= 1;
      },
      requested: createLiveRequestCounter(registers, listNames(contracts)),
      refused: (transport, code) => refusals.inc({ transport, code }),
      closedSlowConsumer: (transport) => slowConsumers.inc({ transport }),
    },
    limits: createLimitMetrics(registers),
    http: { ...createHttpMetrics(registers), refused: (code) => refusals.inc({ transport: 'rest', code }) },
  };
}

function createLimitMetrics(registers: Registry[]): LimitEvents {
  const counts = Object.fromEntries(limitNames.map((limit) => [limit, 0])) as Record<LimitName, number>;
  registerCounter({
    name: 'nano_messaging_rate_limited_total',
    help: 'Refusals with RATE_LIMITED, by the limit that was reached.',
    labelNames: ['limit'],
    registers,
    read: () => Object.entries(counts).map(([limit, count]): Cell => [{ limit }, count]),
  });
  return {
    limited(limit) {
      counts[limit] += 1;
    },
  };
}

function createLiveRequestCounter(
  registers: Registry[],
  names: Record<LiveTransport, string[]>,
): LiveMetrics['requested'] {
  const zeros = (labels: string[]) => Object.fromEntries(labels.map((label) => [label, 0]));
  const counts = { socketio: zeros(names.socketio), chat: zeros(names.chat) };
  registerCounter({
    name: 'nano_messaging_live_requests_total',
    help: 'Requests on Socket.IO and commands on /chat, handled or refused.',
    labelNames: ['transport', 'request'],
    registers,
    read: () =>
      transports.flatMap((transport) =>
        Object.entries(counts[transport]).map(([request, count]): Cell => [{ transport, request }, count]),
      ),
  });
  return (transport, name) => {
    counts[transport][name]! += 1;
  };
}

/** Any other method is counted as `unknown`, so that clients cannot invent labels. */
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

function createHttpMetrics(registers: Registry[]): Pick<HttpMetrics, 'answered'> {
  const answers = new Counter({
    name: 'nano_messaging_http_requests_total',
    help: 'REST requests by method, route and status. The route is unknown if the request was refused before its route was found.',
    labelNames: ['method', 'route', 'status'],
    registers,
  });
  const seconds = new Histogram({
    name: 'nano_messaging_http_request_duration_seconds',
    help: 'Time from the headers of a REST request to the end of its answer.',
    labelNames: ['method', 'route'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  return {
    answered(method, route, status, durationSeconds) {
      const label = methods.has(method) ? method : 'unknown';
      answers.inc({ method: label, route, status });
      seconds.observe({ method: label, route }, durationSeconds);
    },
  };
}
