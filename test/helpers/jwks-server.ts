import type { KeyObject } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { closeLater } from './cleanup.ts';
import { selfSigned } from './self-signed.ts';

export interface JwksServer {
  url: string;
  /** The number of requests for the key set. */
  fetchCount: number;
  /** Whether the server breaks off every request. */
  isDown: boolean;
  keys: object[];
  /** If set, handles each request instead of sending the keys. */
  answer: ((response: ServerResponse) => void) | undefined;
  /** Delays all responses from now on until the returned function is called. */
  holdAnswers(): () => void;
}

/** Serves a key set over HTTPS with a certificate that this process trusts. */
export async function jwksServer(keys: object[]): Promise<JwksServer> {
  const pair = selfSigned();
  const trusted = getCACertificates('default');
  setDefaultCACertificates([...trusted, pair.cert]);
  let held = Promise.resolve();
  const holdAnswers = () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    held = promise;
    return resolve;
  };
  const jwks: JwksServer = { url: '', fetchCount: 0, isDown: false, keys, answer: undefined, holdAnswers };
  const server = createServer(pair, (request, response) => {
    jwks.fetchCount += 1;
    if (jwks.isDown) return request.socket.destroy();
    if (jwks.answer) return jwks.answer(response);
    void held.then(() =>
      response.setHeader('Content-Type', 'application/json').end(JSON.stringify({ keys: jwks.keys })),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  jwks.url = `https://localhost:${(server.address() as AddressInfo).port}/jwks.json`;
  closeLater(() => {
    setDefaultCACertificates(trusted);
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return jwks;
}

/** The public half of a key, in the form in which it is published. */
export function toPublicJwk(key: KeyObject, kid: string): object {
  return { ...key.export({ format: 'jwk' }), kid, use: 'sig' };
}
