import type { Json } from './json.ts';

interface RestResponse {
  status: number;
  headers: Headers;
  /** Parsed if it is JSON, otherwise text. */
  body: Json;
}

interface RequestOptions {
  body?: unknown;
  headers?: Record<string, string>;
}

/** A request as it was sent, and its response. */
export interface Exchange {
  method: string;
  /** Includes the query. */
  path: string;
  body: string | undefined;
  header: (name: string) => string | null;
  status: number;
  answerHeader: (name: string) => string | null;
  /** Parsed if it is JSON, otherwise text. */
  answer: Json;
}

/** REST calls as one user. A string is sent unchanged as the body. `inspect` sees each exchange first. */
export function restCalls(url: string, token?: string, inspect: (exchange: Exchange) => void = () => {}) {
  async function request(
    method: string,
    path: string,
    { body, headers = {} }: RequestOptions = {},
  ): Promise<RestResponse> {
    const sent = typeof body === 'string' || body === undefined ? body : JSON.stringify(body);
    const asked = new Headers({
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
      ...(sent !== undefined && { 'Content-Type': 'application/json' }),
      ...headers,
    });
    const response = await fetch(url + path, { method, headers: asked, ...(sent !== undefined && { body: sent }) });
    const text = await response.text();
    const isJson = response.headers.get('Content-Type')?.includes('application/json') && text !== '';
    const answer: RestResponse = {
      status: response.status,
      headers: response.headers,
      body: isJson ? JSON.parse(text) : text,
    };
    inspect({
      ...{ method, path, body: sent, header: (name) => asked.get(name) },
      ...{ status: answer.status, answer: answer.body, answerHeader: (name) => answer.headers.get(name) },
    });
    return answer;
  }
  return {
    request,
    get: (path: string, headers?: RequestOptions['headers']) => request('GET', path, { headers }),
    post: (path: string, body?: unknown, headers?: RequestOptions['headers']) =>
      request('POST', path, { body, headers }),
    put: (path: string, body?: unknown, headers?: RequestOptions['headers']) => request('PUT', path, { body, headers }),
    patch: (path: string, body?: unknown, headers?: RequestOptions['headers']) =>
      request('PATCH', path, { body, headers }),
    delete: (path: string, headers?: RequestOptions['headers']) => request('DELETE', path, { headers }),
  };
}
