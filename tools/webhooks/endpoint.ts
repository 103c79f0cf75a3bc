import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { WebhookPayload } from '../../src/features/webhooks/payload.ts';

const secret = `whsec_${Buffer.from('the secret of a measurement').toString('base64')}`;

/** An endpoint that answers after a delay, and knows how long each message took. */
export class Endpoint {
  readonly url: string;
  /** The delays in ms from the send to the arrival, by the time of arrival. */
  arrivals: { at: number; delayMs: number }[] = [];
  requests = 0;
  isDown = false;
  readonly #cursors = new Set<string>();
  readonly #lastRevs = new Map<number, number>();
  duplicates = 0;
  gaps = 0;

  private constructor(url: string) {
    this.url = url;
  }

  static async open(answerMs: number): Promise<Endpoint> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        if (endpoint.isDown) return void response.writeHead(503).end();
        endpoint.#record(JSON.parse(Buffer.concat(chunks).toString('utf8')) as WebhookPayload);
        setTimeout(() => response.writeHead(204).end(), answerMs);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const endpoint = new Endpoint(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    server.unref();
    return endpoint;
  }

  get setting(): string {
    return JSON.stringify([{ name: 'measured', url: this.url, secret }]);
  }

  #record({ data }: WebhookPayload): void {
    const at = performance.now();
    this.requests += 1;
    for (const { room, name, payload } of data.changes) {
      if (this.#cursors.has(payload.cursor)) {
        this.duplicates += 1;
        continue;
      }
      this.#cursors.add(payload.cursor);
      const last = this.#lastRevs.get(room.id);
      if (last !== undefined && payload.rev !== last + 1) this.gaps += 1;
      this.#lastRevs.set(room.id, payload.rev);
      if (name === 'message:new') this.arrivals.push({ at, delayMs: at - Number(payload.content) });
    }
  }
}
