import { createHmac, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { WebhookPayload } from '../../src/features/webhooks/payload.ts';
import { freePort } from '../../test/helpers/free-port.ts';
import type { Delivery, Evidence } from './record.ts';
import type { Head } from './room-history.ts';
import { toReceivedChange } from './socketio-connection.ts';

/** How long a node waits for an answer, in seconds. */
const timeoutSeconds = 5;
const slowMs = 6_000;
const clockSkewSeconds = 60;

/** What the receiver does with a request: it stores it, or it fails in one of these ways. */
export type ReceiverMode =
  | 'ok'
  /** It answers 500. */
  | 'error'
  /** It stores the request, but answers after the node has given up. */
  | 'slow'
  /** It stores the request, and ends the connection without an answer. */
  | 'lost'
  /** It refuses every second room with 422. */
  | 'refuse'
  /** Nothing listens. */
  | 'down';

/** The product's backend: the endpoint of a webhook, and where the consumers in the nodes pass on what they receive. */
export class WebhookReceiver {
  mode: ReceiverMode = 'ok';
  readonly #evidence: Pick<Evidence, 'consumers' | 'violations'>;
  readonly #secret = randomBytes(32);
  #port = 0;
  #server: Server | undefined;

  constructor(evidence: Pick<Evidence, 'consumers' | 'violations'>) {
    this.#evidence = evidence;
    for (const name of ['webhook', 'consumer']) evidence.consumers.set(name, []);
  }

  /** The settings of the nodes. */
  get settings(): Record<string, string> {
    const secret = `whsec_${this.#secret.toString('base64')}`;
    const webhook = { name: 'webhook', url: this.#urlOf('webhook'), secret, timeout_seconds: timeoutSeconds };
    return { WEBHOOKS: JSON.stringify([webhook]), TORTURE_CONSUMER: this.#urlOf('consumer') };
  }

  #urlOf(name: string): string {
    return `http://127.0.0.1:${this.#port}/${name}`;
  }

  async start(): Promise<void> {
    this.#port ||= await freePort();
    const server = createServer((request, response) => void this.#handle(request, response));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
  }

  stop(): void {
    this.#server?.close();
    this.#server?.closeAllConnections();
    this.#server = undefined;
  }

  /** Fails in this way for some time. */
  async fail(mode: ReceiverMode, forMs: number): Promise<void> {
    this.mode = mode;
    if (mode === 'down') this.stop();
    await delay(forMs);
    if (mode === 'down') await this.start();
    this.mode = 'ok';
  }

  /** Describes which rooms a consumer has not received completely. */
  missing(heads: Map<number, Head>): string[] {
    return [...this.#evidence.consumers].flatMap(([name, deliveries]) => {
      const reached = new Map<number, number>();
      for (const { changes, isAccepted } of deliveries) {
        if (isAccepted) for (const { room, rev } of changes) reached.set(room, Math.max(rev, reached.get(room) ?? 0));
      }
      const behind = [...heads].filter(([room, { rev }]) => (reached.get(room) ?? 0) < rev);
      return behind.map(
        ([room, { rev }]) => `the ${name} is at rev ${reached.get(room) ?? 0} of ${rev} in room ${room}`,
      );
    });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return;
    }
    const { mode } = this;
    const name = request.url!.slice(1);
    const body = Buffer.concat(chunks).toString();
    if (name === 'webhook') this.#verify(request, body);
    const delivery = this.#parse(name, body);
    const answer = (status: number) => void response.writeHead(status).end();
    if (!delivery || mode === 'error' || mode === 'down') return answer(500);
    if (mode === 'refuse' && delivery.changes.some(({ room }) => room % 2 === 0)) return answer(422);
    delivery.isAccepted = true;
    if (mode === 'slow') await delay(slowMs);
    if (mode === 'lost') request.socket.destroy();
    else answer(204);
  }

  /** The signature of the Standard Webhooks specification. */
  #verify({ headers }: IncomingMessage, body: string): void {
    const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature } = headers;
    const expected = createHmac('sha256', this.#secret).update(`${id}.${timestamp}.${body}`).digest('base64');
    const isRecent = Math.abs(Date.now() / 1_000 - Number(timestamp)) < clockSkewSeconds;
    if (signature !== `v1,${expected}` || !isRecent)
      this.#violation(`the webhook ${id} has the signature ${signature}`);
  }

  #parse(name: string, body: string): Delivery | undefined {
    const { data: payload, error } = WebhookPayload.safeParse(JSON.parse(body));
    if (error) {
      this.#violation(`an undocumented request to the ${name}: ${body.slice(0, 1_000)}`);
      return undefined;
    }
    const delivery: Delivery = { at: performance.now(), isAccepted: false, changes: [] };
    for (const { room, name: event, payload: change } of payload.data.changes) {
      const received = toReceivedChange(event, { room_id: room.id, ...change });
      const { rev, cursor } = change;
      if (!received) delivery.changes.push({ room: room.id, rev, cursor, name: event, seq: undefined, text: '' });
      else {
        const { seq, text, message } = received;
        const version = message && { version: message.version };
        delivery.changes.push({ room: room.id, rev, cursor, name: received.name, seq, text, ...version });
      }
    }
    this.#evidence.consumers.get(name)?.push(delivery);
    return delivery;
  }

  #violation(what: string): void {
    this.#evidence.violations.push({ fault: 'protocol', what });
  }
}
