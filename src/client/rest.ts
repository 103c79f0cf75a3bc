import createClient, { type Client, defaultPathSerializer } from 'openapi-fetch';
import type { ClientOptions } from './api.ts';
import type { Paths } from './rest-paths.ts';
import { defaultTimeouts } from './room-connection.ts';
import { parseServiceUrl, toHttpUrl } from './service-url.ts';
import { fetchToken } from './token.ts';

export type { Paths } from './rest-paths.ts';

export type RestOptions = Pick<ClientOptions, 'url' | 'token'>;

/** A method for each HTTP method. They resolve to `{ data, error, response }`, and reject if no answer arrives. */
export type RestClient = Client<Paths>;

/**
 * Creates a client for the REST routes below `/rooms`. The token function is called for the first request, and again when
 * the service rejects the token; a rejected request is repeated once with the next token.
 */
export function createRestClient({ url, token: getToken }: RestOptions): RestClient {
  let token: Promise<string> | undefined;
  /** Concurrent requests share one call of the token function. */
  const useToken = () => {
    token ??= fetchToken(getToken, defaultTimeouts.tokenMs).catch((error) => {
      token = undefined;
      throw error;
    });
    return token;
  };
  const send = (request: Request, jwt: string) => {
    request.headers.set('Authorization', `Bearer ${jwt}`);
    return fetch(request);
  };
  return createClient<Paths>({
    baseUrl: toHttpUrl(parseServiceUrl(url)),
    pathSerializer(path, params) {
      // A URL resolves these, so the request would reach another route.
      for (const [name, value] of Object.entries(params))
        if (/^\.\.?$/.test(String(value))) throw new TypeError(`${name} must not be ${value}`);
      return defaultPathSerializer(path, params);
    },
    async fetch(request) {
      const again = request.clone();
      const used = useToken();
      const response = await send(request, await used);
      if (response.status !== 401) return response;
      // Another request may have fetched the next token already.
      if (token === used) token = undefined;
      const next = await useToken();
      return next === (await used) ? response : send(again, next);
    },
  });
}
