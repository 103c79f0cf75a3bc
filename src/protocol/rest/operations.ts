import { z } from 'zod';
import type { Answer, Route } from './route.ts';

const defineTextAnswer = (description: string, example: string): Answer => ({
  description,
  type: 'text/plain',
  schema: z.string(),
  example,
});

const exampleMetrics = '# HELP nano_messaging_connections Live connections\n# TYPE nano_messaging_connections gauge\n';

export const operationRoutes = {
  readHealth: {
    method: 'GET',
    path: '/healthz',
    tag: 'operations',
    token: 'none',
    summary: 'Whether the process answers',
    answers: { 200: defineTextAnswer('It does.', 'ok\n') },
    refusals: [],
  },
  readReadiness: {
    method: 'GET',
    path: '/readyz',
    tag: 'operations',
    token: 'none',
    summary: 'Whether the node takes work',
    description: 'The balancer sends nothing to a node that does not.',
    answers: {
      200: defineTextAnswer('It does.', 'ready\n'),
      503: defineTextAnswer(
        'It does not: the database is away or lacks a migration, or the node is shutting down.',
        'not ready\n',
      ),
    },
    refusals: [],
  },
  readMetrics: {
    method: 'GET',
    path: '/metrics',
    tag: 'operations',
    token: 'metrics',
    summary: 'Measurements for Prometheus',
    description: 'With `METRICS_PORT` they are on that port alone, and `NOT_FOUND` here.',
    answers: {
      200: defineTextAnswer("In Prometheus' text format.", exampleMetrics),
      401: defineTextAnswer('The server has a `METRICS_TOKEN`, and this is not it.', 'a token is needed\n'),
    },
    refusals: ['NOT_FOUND'],
  },
} as const satisfies Record<string, Route>;
