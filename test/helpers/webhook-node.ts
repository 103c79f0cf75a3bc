// A node in its own process, with short timeouts, so that a test can kill it.
import { readConfig } from '../../src/config/config.ts';
import { startServer } from '../../src/server.ts';
import { withWebhookTimeouts } from './webhook-timeouts.ts';

const config = withWebhookTimeouts()(readConfig(process.env));
const server = await startServer(config);
console.log(JSON.stringify({ url: server.url }));
