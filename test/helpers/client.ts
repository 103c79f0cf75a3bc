import { expect } from 'chai';
import {
  type ChatClientError,
  type Client,
  type ClientOptions,
  type ClientRoom,
  connect,
} from '../../src/client/client.ts';
import { closeLater } from './cleanup.ts';
import type { TestUser } from './users.ts';

/** Short timeouts, so that tests with lost connections do not wait long. */
const timeouts = { backoffMs: 40, maxBackoffMs: 300, answerMs: 3_000 };

/** The client of the package; it is closed after the test. Its rooms have a listener, so that they stay joined. */
export function createClient(
  url: string,
  { token }: Pick<TestUser, 'token'>,
  options: Partial<ClientOptions> = {},
): Client {
  const client = connect({ url, token: () => token, ...options, timeouts: { ...timeouts, ...options.timeouts } });
  closeLater(() => client.close());
  const opened = new Set<ClientRoom>();
  const open = client.room.bind(client);
  client.room = (ref) => {
    const room = open(ref);
    if (!opened.has(room)) room.on('change', () => {});
    opened.add(room);
    return room;
  };
  return client;
}

/** Collects the contents of `message` events, which may differ from `messages`. */
export function recordMessages(room: ClientRoom): string[] {
  const received: string[] = [];
  room.on('message', ({ content }) => void received.push(content));
  return received;
}

export const toContents = ({ messages }: ClientRoom): string[] => messages.map(({ content }) => content);

/** Expects consecutive values of `seq`. */
export function expectNoGaps({ messages }: Pick<ClientRoom, 'messages'>): void {
  const first = messages[0]?.seq ?? 1;
  expect(messages.map(({ seq }) => seq)).to.deep.equal(messages.map((_, n) => first + n));
}

export async function getRejection(promise: Promise<unknown>): Promise<ChatClientError> {
  return promise.then(
    () => expect.fail('the promise should have been rejected'),
    (error) => error,
  );
}
