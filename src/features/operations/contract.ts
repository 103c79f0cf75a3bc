import { defineTextAnswer } from '../../core/contract/rest.ts';
import { defineFeature } from '../../core/feature.ts';

const exampleMetrics = '# HELP nano_messaging_connections Live connections\n# TYPE nano_messaging_connections gauge\n';

export const operations = defineFeature('operations', {
  description: 'For load balancers and monitoring: no user token, no envelope.',
  rest: {
    readHealth: {
      method: 'GET',
      path: '/healthz',
      auth: 'none',
      summary: 'Whether the process answers',
      answers: { 200: defineTextAnswer('The process answers.', 'ok\n') },
      refusals: [],
    },
    readReadiness: {
      method: 'GET',
      path: '/readyz',
      auth: 'none',
      summary: 'Whether the node accepts requests',
      description: 'A load balancer sends nothing to a node that is not ready.',
      answers: {
        200: defineTextAnswer('The node is ready.', 'ready\n'),
        503: defineTextAnswer(
          'Not ready: the database is unavailable, a migration is missing, or the node is shutting down.',
          'not ready\n',
        ),
      },
      refusals: [],
    },
    readMetrics: {
      method: 'GET',
      path: '/metrics',
      auth: 'metrics',
      summary: 'Metrics for Prometheus',
      description: 'With `METRICS_PORT` they are only on that port, and this path is `NOT_FOUND`.',
      answers: {
        200: defineTextAnswer("The metrics in Prometheus' text format.", exampleMetrics),
        401: defineTextAnswer('The token is not the `METRICS_TOKEN`, or it is missing.', 'a token is required\n'),
      },
      refusals: ['NOT_FOUND'],
    },
  },
});
