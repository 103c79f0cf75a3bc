import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { parseWebhookSecrets } from '../core/webhook-signature.ts';
import { verifyWebhook, WebhookVerificationError } from '../sdk/verify-webhook.ts';

const usage = `nano-messaging webhook [options]

Receives the webhooks of a node, verifies them and prints each change. Shows what your backend will receive.

  --port N          the port to listen on (default: 9000)
  --host ADDRESS    the address to listen on (default: 127.0.0.1)
  --secret SECRET   the secret in WEBHOOKS of the node, or two, separated by a space (default: a new one is printed)
  --help            prints this text`;

function readOptions() {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '9000' },
      host: { type: 'string', default: '127.0.0.1' },
      secret: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const port = Number(values.port);
  if (!/^\d+$/.test(values.port) || port > 65_535) throw new Error('--port must be a number from 0 to 65535');
  return { ...values, port };
}

/** Prints the changes of the request and returns its answer. */
async function receive(request: IncomingMessage, secret: string): Promise<[status: number, text: string]> {
  if (request.method !== 'POST') return [405, 'Webhooks are sent with POST'];
  const body = await buffer(request);
  try {
    const { data } = verifyWebhook(request.headers, body, secret);
    const time = new Date().toLocaleTimeString('en-GB');
    console.log(`${time} ${request.headers['webhook-id']}`);
    for (const { room, name, payload } of data.changes) {
      console.log(`  room ${room.id}${room.key ? ` ${room.key}` : ''} ${name} ${JSON.stringify(payload)}`);
    }
    return [200, 'OK'];
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    console.error(`refused: ${error.code}: ${error.message}`);
    return [401, error.message];
  }
}

function answer(response: ServerResponse, [status, text]: [number, string]): void {
  response.writeHead(status, { 'Content-Type': 'text/plain' }).end(text);
}

async function main(): Promise<void> {
  const { port, host, secret: given, help } = readOptions();
  if (help) return console.log(usage);
  const secret = given ?? `whsec_${randomBytes(32).toString('base64')}`;
  const secrets = parseWebhookSecrets(secret);
  if (typeof secrets === 'string') throw new Error(`--secret ${secrets}`);
  const server = createServer((request, response) => {
    receive(request, secret).then(
      (result) => answer(response, result),
      (error: Error) => {
        console.error(error.message);
        answer(response, [500, error.message]);
      },
    );
  });
  server.listen(port, host);
  await once(server, 'listening');
  const { address, port: actual } = server.address() as AddressInfo;
  const url = `http://${address.includes(':') ? `[${address}]` : address}:${actual}/`;
  console.log(`listening on ${url}`);
  if (!given) console.log(`Start the node with WEBHOOKS='${JSON.stringify([{ name: 'development', url, secret }])}'`);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
