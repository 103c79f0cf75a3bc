import http from 'node:http';
import https from 'node:https';
import { createWebhookHeaders } from '../../core/webhook-signature.ts';
import { toBody } from './delivery.ts';
import type { Answer, Receiver } from './receiver.ts';

interface Options {
  url: string;
  secrets: readonly Uint8Array[];
  timeoutMs: number;
}

/** The size of the answer that is read. Only its beginning is logged. */
const maxAnswerBytes = 16_384;
/**
 * Shorter than the timeouts of common servers. Otherwise a connection might be reused just when the server closes it.
 */
const idleTimeoutMs = 4_000;

/**
 * Sends deliveries as signed POST requests. Uses the client of Node, whose agent keeps the connections of each endpoint
 * apart, and which never follows a redirect. Its errors name what is wrong with a connection or a certificate.
 */
export function createHttpReceiver({ url, secrets, timeoutMs }: Options): Receiver {
  const { protocol } = new URL(url);
  const { Agent, request } = protocol === 'https:' ? https : http;
  const agent = new Agent({ keepAlive: true, keepAliveMsecs: 1_000, timeout: idleTimeoutMs, maxSockets: 16 });

  function post(headers: http.OutgoingHttpHeaders, body: Buffer, signal: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const outgoing = request(url, { method: 'POST', agent, headers, signal });
      outgoing.setTimeout(0);
      outgoing.on('error', (error) => {
        // The endpoint has closed the connection while it was idle, so it has not seen the request.
        const isStale = outgoing.reusedSocket && (error as NodeJS.ErrnoException).code === 'ECONNRESET';
        if (isStale && !signal.aborted) post(headers, body, signal).then(resolve, reject);
        else reject(signal.aborted ? toError(signal.reason) : error);
      });
      outgoing.on('response', (incoming) => readAnswer(incoming).then(resolve, reject));
      outgoing.end(body);
    });
  }

  return {
    async deliver(delivery, signal) {
      const now = new Date();
      const text = toBody(delivery, now);
      const body = Buffer.from(text);
      const content = { id: delivery.id, timestamp: Math.floor(now.getTime() / 1_000), body: text };
      const headers = {
        'content-type': 'application/json',
        'content-length': body.length,
        'user-agent': 'nano-messaging',
        ...createWebhookHeaders(secrets, content),
      };
      const timeout = new AbortController();
      const timer = setTimeout(() => timeout.abort(new Error(`no answer within ${timeoutMs / 1_000} s`)), timeoutMs);
      try {
        return await post(headers, body, AbortSignal.any([signal, timeout.signal]));
      } finally {
        clearTimeout(timer);
      }
    },
    close: () => agent.destroy(),
  };
}

const toError = (reason: unknown) => (reason instanceof Error ? reason : new Error(String(reason)));

async function readAnswer(incoming: http.IncomingMessage): Promise<Answer> {
  const status = incoming.statusCode!;
  const retryAfterMs = parseRetryAfter(incoming.headers['retry-after']);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of incoming) {
      bytes += (chunk as Buffer).length;
      if (bytes > maxAnswerBytes) {
        incoming.destroy();
        break;
      }
      chunks.push(chunk as Buffer);
    }
  } catch {
    // The status decides, even if the body of the answer does not arrive.
  }
  const text = Buffer.concat(chunks).toString('utf8').replaceAll(/\s+/g, ' ').trim();
  return { status, retryAfterMs, detail: status >= 300 && text !== '' ? text : undefined };
}

/** Parses seconds or a date. Returns undefined if the header is neither. */
export function parseRetryAfter(value: string | undefined, now = Date.now()): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1_000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
