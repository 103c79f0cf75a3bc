import { randomUUID } from 'node:crypto';
import type { Admin } from '../features/admin-calls.ts';
import { AdminError, toAdminError } from './admin-error.ts';
import { adminPaths } from './admin-paths.ts';

export interface AdminClientOptions {
  /**
   * The URL of the service, with the path under which it is mounted; with `ADMIN_PORT`, the URL of that port. The server
   * API is below `/admin` of it.
   */
  url: string;
  /** The `ADMIN_TOKEN` of the service. */
  token: string;
  /** How often a call is repeated if the service cannot be reached or is unavailable; 3 by default. */
  retries?: number | undefined;
  /** How long the client waits for the answer to each attempt; 15,000 by default. */
  timeoutMs?: number | undefined;
}

/**
 * The server API over HTTP, with the same functions as `server.admin` of a program that embeds the service. Each takes the
 * parameters of the path, and then the body or the query. It resolves to the answer, and rejects with an `AdminError`.
 */
export type AdminClient = Admin;

const firstDelayMs = 250;
const maxDelayMs = 10_000;

/** A random part of the delay, so that many clients do not retry at the same time. Never shorter than `Retry-After`. */
function computeDelay(retry: number, { retryAfterMs = 0 }: AdminError): number {
  const delayMs = Math.min(firstDelayMs * 2 ** retry, maxDelayMs);
  return Math.max(delayMs * (0.5 + Math.random() / 2), retryAfterMs);
}

const outages = [502, 503, 504];

/**
 * Every call may be sent twice, because it has the same effect then, so it is also retried if nobody knows whether the
 * service carried it out. A service that is unavailable for longer is the caller's decision.
 */
const mayRetry = ({ status, retryAfterMs = 0 }: AdminError) =>
  retryAfterMs <= maxDelayMs && (status === undefined || outages.includes(status));

interface Request {
  method: string;
  url: URL;
  /** `PUT /admin/rooms/:id`, for messages. */
  call: string;
  headers: Record<string, string>;
  body: string | undefined;
}

interface Envelope {
  meta: { code: number; message: string; [more: string]: unknown };
  content: unknown;
}

const isEnvelope = (answer: unknown): answer is Envelope =>
  typeof answer === 'object' && answer !== null && 'meta' in answer && 'content' in answer;

async function attempt({ method, url, call, headers, body }: Request, timeoutMs: number): Promise<unknown> {
  const signal = AbortSignal.timeout(timeoutMs);
  let answer: unknown;
  let response: Response;
  try {
    response = await fetch(url, { method, headers, signal, redirect: 'manual', ...(body !== undefined && { body }) });
    answer = parseJson(await response.text());
  } catch (error) {
    if (signal.aborted) throw new AdminError('TIMEOUT', `${call}: no answer within ${timeoutMs} ms`, { cause: error });
    throw new AdminError('UNREACHABLE', `${call}: ${describe(error as Error)}`, { cause: error });
  }
  const { status } = response;
  if (!response.ok || !isEnvelope(answer)) {
    throw toAdminError(call, status, response.headers.get('Retry-After'), answer);
  }
  const { code, message: _ok, ...meta } = answer.meta;
  return { code, content: answer.content, ...(Object.keys(meta).length > 0 && { meta }) };
}

/** The message of `fetch` is only "fetch failed"; its cause has the reason. */
function describe({ message, cause }: Error): string {
  const reason = cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code : undefined;
  return reason ? `${message}: ${reason}` : message;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** `given` has the parameters of the path, and then the query or the body. */
function createRequest(base: URL, token: string, call: string, given: readonly unknown[]): Request {
  const [method, path] = call.split(' ') as [string, string];
  let used = 0;
  const filled = path.replaceAll(/:(\w+)/g, (_match, name: string) => {
    const value = given[used++];
    if (value === undefined || value === null || value === '') throw new TypeError(`${name}: is missing in ${call}`);
    // A URL resolves these, also if they are encoded, so the call would reach another route.
    if (/^\.\.?$/.test(String(value))) throw new TypeError(`${name}: must not be ${value} in ${call}`);
    return encodeURIComponent(String(value)).replaceAll('%3A', ':');
  });
  const url = new URL(base.pathname.replace(/\/$/, '') + filled, base);
  const payload = given[used] as object | undefined;
  const headers = { Authorization: `Bearer ${token}`, Accept: 'application/json' };
  if (method === 'GET' || method === 'DELETE') {
    for (const [name, value] of Object.entries(payload ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    return { method, url, call, headers, body: undefined };
  }
  return {
    ...{ method, url, call, body: JSON.stringify(payload ?? {}) },
    // Messages without a `client_msg_id` take it from the key, so that the service stores them once.
    headers: { ...headers, 'Content-Type': 'application/json', 'Idempotency-Key': randomUUID() },
  };
}

/** Creates a client of the server API. It need not be closed. */
export function createAdminClient({ url, token, retries = 3, timeoutMs = 15_000 }: AdminClientOptions): AdminClient {
  const base = new URL(url);
  if (!token) throw new TypeError('token: must be the ADMIN_TOKEN of the service');
  const run = async (call: string, given: readonly unknown[]) => {
    const request = createRequest(base, token, call, given);
    for (let retry = 0; ; retry++) {
      try {
        return await attempt(request, timeoutMs);
      } catch (error) {
        if (retry >= retries || !(error instanceof AdminError && mayRetry(error))) throw error;
        await new Promise((resolve) => setTimeout(resolve, computeDelay(retry, error)));
      }
    }
  };
  const createCalls = (calls: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(calls).map(([name, call]) => [name, (...given: unknown[]) => run(call, given)]));
  // The cast is safe: the compiler has compared the paths with the routes, which the types of the functions come from.
  return Object.fromEntries(
    Object.entries(adminPaths).map(([group, calls]) => [group, createCalls(calls)]),
  ) as unknown as AdminClient;
}
