import type { Loose } from './loose.ts';

interface Answer {
  status: number;
  headers: Headers;
  /** Parsed where it is JSON, otherwise the text. */
  body: Loose;
}

interface Ask {
  body?: unknown;
  headers?: Record<string, string>;
}

export type RestClient = ReturnType<typeof rest>;

/** REST calls as one person; a body that is a string goes as it is. */
export function rest(url: string, token?: string) {
  async function request(method: string, path: string, { body, headers = {} }: Ask = {}): Promise<Answer> {
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(token !== undefined && { Authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get('Content-Type')?.includes('application/json') && text !== '';
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
  }
  return {
    request,
    get: (path: string, headers?: Ask['headers']) => request('GET', path, { headers }),
    post: (path: string, body?: unknown, headers?: Ask['headers']) => request('POST', path, { body, headers }),
    put: (path: string, body?: unknown, headers?: Ask['headers']) => request('PUT', path, { body, headers }),
    patch: (path: string, body?: unknown, headers?: Ask['headers']) => request('PATCH', path, { body, headers }),
    delete: (path: string, headers?: Ask['headers']) => request('DELETE', path, { headers }),
  };
}
