import { ChatClientError } from './errors.ts';
import { type ServiceUrl, toHttpUrl } from './service-url.ts';

const timeoutMs = 1_500;

/** Checks what answers at the URL. Returns undefined if it is the service. */
export async function checkServer(serviceUrl: ServiceUrl): Promise<ChatClientError | undefined> {
  const url = toHttpUrl(serviceUrl);
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), timeoutMs);
  const request = (mode: 'cors' | 'no-cors') => fetch(`${url}/rooms`, { mode, signal: abort.signal });
  try {
    const response = await request('cors').catch(() => undefined);
    // The server may be a proxy that cannot reach the service.
    const isOutage = response !== undefined && response.status >= 500;
    const answer: unknown = isOutage ? undefined : await response?.json().catch(() => undefined);
    if ((answer as { meta?: object } | undefined)?.meta) return;
    // A page cannot read the answers of other servers, but it can see that they answer.
    if (!isOutage && (response || (await request('no-cors').catch(() => undefined))))
      return new ChatClientError('WRONG_SERVER', `Another server answers at ${url}, or the service refuses this page`);
    return new ChatClientError('UNREACHABLE', `Nothing answers at ${url}`);
  } finally {
    clearTimeout(timer);
  }
}
