import { expect } from 'chai';
import {
  type ChatClientError,
  type Client,
  type ClientOptions,
  type ClientRoom,
  connect,
} from '../../src/client/client.ts';
import { closeLater } from './cleanup.ts';
import { databaseLine } from './database-line.ts';
import type { Person } from './people.ts';

/** Short pauses, so that a test which loses a connection is not spent waiting. */
const timeouts = { backoffMs: 40, maxBackoffMs: 300, answerMs: 3_000 };

/** The client of the package, as a person; closed with the test. */
export function clientOf(url: string, { token }: Pick<Person, 'token'>, options: Partial<ClientOptions> = {}): Client {
  const client = connect({ url, token: () => token, ...options, timeouts: { ...timeouts, ...options.timeouts } });
  closeLater(() => client.close());
  return client;
}

/** What a room has said by its events, beside what it shows. */
export function heardIn(room: ClientRoom): string[] {
  const heard: string[] = [];
  room.on('message', ({ content }) => void heard.push(content));
  return heard;
}

export const contentsOf = ({ messages }: ClientRoom): string[] => messages.map(({ content }) => content);

/** Numbers of seq from the first one shown on, without a gap or a double. */
export function expectWhole({ messages }: ClientRoom): void {
  const first = messages[0]?.seq ?? 1;
  expect(messages.map(({ seq }) => seq)).to.deep.equal(messages.map((_, n) => first + n));
}

export async function failureOf(promise: Promise<unknown>): Promise<ChatClientError> {
  return promise.then(
    () => expect.fail('it was to fail'),
    (error) => error,
  );
}

/** A line between clients and a service, which can be cut. */
export async function lineTo(url: string) {
  const line = await databaseLine('127.0.0.1', Number(new URL(url).port));
  return { ...line, url: `http://127.0.0.1:${line.port}` };
}
