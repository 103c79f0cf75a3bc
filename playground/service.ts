/** The service is mounted at the directory of this page. */
export const serviceUrl = new URL('.', location.href).href.replace(/\/$/, '');

export const chatUrl = `${serviceUrl.replace(/^http/, 'ws')}/chat`;

/** Whether the server issues tokens to a page that has the key; only the embedded default does. */
export const issuesTokens = document.querySelector<HTMLMetaElement>('meta[name=tokens]')?.content === 'made here';

export class ServiceError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'ServiceError';
    this.code = code;
  }
}

export interface Answer<T> {
  meta: { code: number; message: string; reason?: string; detail?: string };
  content: T;
}

/** Throws a `ServiceError` if the server refuses the request or does not answer. */
export async function call<T>(method: string, path: string, token?: string, body?: unknown): Promise<Answer<T>> {
  const response = await fetch(`${serviceUrl}/${path}`, {
    method,
    headers: {
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'Content-Type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  }).catch(() => {
    throw new ServiceError('UNREACHABLE', 'The server does not answer');
  });
  const answer = (await response.json().catch(() => undefined)) as Answer<T> | undefined;
  if (!answer?.meta) throw new ServiceError('UNREACHABLE', `The server answered ${response.status} without JSON`);
  if (!response.ok) throw new ServiceError(answer.meta.reason ?? '', answer.meta.detail ?? answer.meta.message);
  return answer;
}
