import { readConfig } from '../../src/config/config.ts';
import { startServer } from '../../src/server.ts';
import { withWebhookTimeouts } from './webhook-timeouts.ts';

const config = withWebhookTimeouts()(readConfig(process.env));
/** As few rows at a time as possible, so that a test can kill the node between two statements. */
const rowRemoval = { lookMs: 100, leaseMs: 1_000, renewMs: 100, statementMs: 0.1 };
const server = await startServer({ ...config, timeouts: { ...config.timeouts, rowRemoval } });
console.log(JSON.stringify({ url: server.url }));
