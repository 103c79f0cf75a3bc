import { type Client, type ClientOptions, connect } from '../../src/client/client.ts';
import { closeLater } from './cleanup.ts';
import type { Person } from './people.ts';

/** Short pauses, so that a test which loses a connection is not spent waiting. */
const timings = { pauseMs: 40, longestPauseMs: 300, answerMs: 3_000 };

/** The client of the package, as a person; closed with the test. */
export function clientOf(url: string, { token }: Pick<Person, 'token'>, options: Partial<ClientOptions> = {}): Client {
  const client = connect({ url, token: () => token, ...options, timings: { ...timings, ...options.timings } });
  closeLater(() => client.close());
  return client;
}
