import { implement } from '../app-context.ts';
import * as contract from './contract.ts';

export const operations = implement(contract.operations, {
  async readHealth() {
    return { code: 200, text: 'ok\n' };
  },
  async readReadiness({ context }) {
    return context.assertReady().then(
      () => ({ code: 200, text: 'ready\n' }) as const,
      () => ({ code: 503, text: 'not ready\n' }) as const,
    );
  },
  async readMetrics({ context: { metrics } }) {
    return { code: 200, type: metrics.contentType, text: await metrics.text() };
  },
});
