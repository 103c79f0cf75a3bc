import { defineTextAnswer } from '../../core/contract/rest.ts';
import { defineFeature } from '../../core/feature.ts';

const exampleMetrics = '# HELP nano_messaging_connections Live connections\n# TYPE nano_messaging_connections gauge\n';

export const operations = defineFeature('operations', {
  description: 'For the balancer and the monitoring: no user token, no envelope.',
  rest: {
    readHealth: {
      method: 'GET',
      path: '/healthz',
      auth: 'none',
      summary: 'Whether the process answers',
      answers: { 200: defineTextAnswer('It does.', 'ok\n') },
      refusals: [],
    },
    readReadiness: {
      method: 'GET',
      path: '/readyz',
      auth: 'none',
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
      auth: 'metrics',
      summary: 'Measurements for Prometheus',
      description: 'With `METRICS_PORT` they are on that port alone, and `NOT_FOUND` here.',
      answers: {
        200: defineTextAnswer("In Prometheus' text format.", exampleMetrics),
        401: defineTextAnswer('The server has a `METRICS_TOKEN`, and this is not it.', 'a token is needed\n'),
      },
      refusals: ['NOT_FOUND'],
    },
  },
});
