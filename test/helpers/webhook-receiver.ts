import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { WebhookPayload } from '../../src/features/webhooks/payload.ts';
import { closeLater, reportViolation } from './cleanup.ts';

export const webhookSecret = `whsec_${Buffer.from('the secret of the webhook tests!').toString('base64')}`;

interface ReceivedRequest {
  id: string;
  payload: WebhookPayload;
  bytes: number;
  at: number;
}

export interface ReceivedChange {
  name: string;
  rev: number;
  cursor: string;
  content?: string;
}

/** Answers a request, or leaves it without an answer. */
type Answer = (response: ServerResponse, request: ReceivedRequest) => unknown;

export const answerWith =
  (status: number, headers: Record<string, string> = {}): Answer =>
  (response) =>
    response.writeHead(status, headers).end('the answer of the test');

export interface WebhookReceiver {
  url: string;
  /** Requests whose signatures the library of Standard Webhooks has verified, and that were answered with 2xx. */
  accepted: ReceivedRequest[];
  /** All requests. */
  requests: ReceivedRequest[];
  /** The number of requests that are being answered, and its maximum. */
  readonly maxConcurrent: number;
  answer: Answer;
  secret: string;
  /** The changes of the room that were accepted, in the order of their first arrival. */
  changesOf(room: { id: number }): ReceivedChange[];
  /** The same, with those that have arrived again. */
  arrivalsOf(room: { id: number }): ReceivedChange[];
  close(): Promise<void>;
}

/** An endpoint of the product's backend. Fails the test at a wrong signature or an undocumented payload. */
export async function startReceiver(
  options: { tls?: { key: string; cert: string }; port?: number } = {},
): Promise<WebhookReceiver> {
  const accepted: ReceivedRequest[] = [];
  const requests: ReceivedRequest[] = [];
  let concurrent = 0;
  let maxConcurrent = 0;
  const inRooms = new Set<number>();

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString('utf8');
    const received = verify(request, body);
    requests.push(received);
    concurrent += 1;
    maxConcurrent = Math.max(maxConcurrent, concurrent);
    const rooms = listRooms(received.payload);
    for (const room of rooms) {
      if (inRooms.has(room)) reportViolation(`Two requests at once have changes of room ${room}`);
      inRooms.add(room);
    }
    response.once('close', () => {
      concurrent -= 1;
      for (const room of rooms) inRooms.delete(room);
    });
    response.once('finish', () => {
      if (response.statusCode < 300) accepted.push(received);
    });
    await receiver.answer(response, received);
  }

  function verify(request: IncomingMessage, body: string): ReceivedRequest {
    const headers = request.headers as Record<string, string>;
    let payload: unknown;
    try {
      payload = new Webhook(receiver.secret).verify(body, headers);
    } catch (error) {
      reportViolation(`The signature is wrong: ${(error as Error).message}`);
      payload = JSON.parse(body);
    }
    const parsed = WebhookPayload.safeParse(payload);
    if (!parsed.success)
      reportViolation(`The payload is not documented: ${parsed.error.message}\n${body.slice(0, 1_000)}`);
    const bytes = Buffer.byteLength(body);
    if (bytes > 262_144) reportViolation(`The body has ${bytes} bytes`);
    return { id: headers['webhook-id']!, payload: payload as WebhookPayload, bytes, at: performance.now() };
  }

  const listener = (request: IncomingMessage, response: ServerResponse) =>
    void handle(request, response).catch(reportViolation);
  const server: Server = options.tls ? createTlsServer(options.tls, listener) : createServer(listener);
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  closeLater(close);
  const arrivalsOf = ({ id }: { id: number }) =>
    accepted.flatMap(({ payload }) => listChanges(payload).filter(({ room }) => room === id));
  const receiver: WebhookReceiver = {
    url: `${options.tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}/hooks`,
    ...{ accepted, requests },
    get maxConcurrent() {
      return maxConcurrent;
    },
    answer: answerWith(204),
    secret: webhookSecret,
    arrivalsOf,
    changesOf(room) {
      const cursors = new Set<string>();
      return arrivalsOf(room).filter(({ cursor }) => !cursors.has(cursor) && cursors.add(cursor));
    },
    close,
  };
  return receiver;
}

const listRooms = (payload: WebhookPayload) => [...new Set(listChanges(payload).map(({ room }) => room))];

export function listChanges(payload: WebhookPayload) {
  const { changes } = payload.data;
  return changes.map(({ room, name, payload: content }) => ({
    ...{ room: room.id, name: name as string, rev: content.rev, cursor: content.cursor },
    ...('content' in content && { content: content.content }),
  }));
}

/** The setting `WEBHOOKS` for these receivers. */
export const toSetting = (...endpoints: ({ url: string } & Record<string, unknown>)[]) =>
  JSON.stringify(endpoints.map((endpoint, n) => ({ name: `app-${n}`, secret: webhookSecret, ...endpoint })));
