import { expect } from 'chai';
import { authenticatedChat, chatClient } from '../helpers/chat-client.ts';
import { itWithBothAdapters, readMetric, startNodePair, waitForBus } from '../helpers/node-pair.ts';
import { expectConnectError, socketClient } from '../helpers/socket-client.ts';
import { createUser, type TestUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const newest = (url: string, { token }: TestUser) =>
  expectConnectError(url, { token }).then(
    ({ data }) => data.code,
    () => 'accepted',
  );

async function newestChat(url: string, { token }: TestUser): Promise<string> {
  const chat = await chatClient(url);
  chat.send({ type: 'token', content: token });
  await chat.next();
  const frame = await chat.next();
  if (frame.data === 'READY') return 'accepted';
  expect(await chat.closed).to.equal(4429);
  return String(frame.reason);
}

const full = 'TOO_MANY_CONNECTIONS';

describe('The connections of a user on two nodes', () => {
  itWithBothAdapters('are counted together over both transports, and the newest is refused', async (adapter) => {
    const { here, there } = await startNodePair({ REDIS_ADAPTER: adapter, MAX_CONNECTIONS_PER_USER: 4 });
    const person = createUser();
    const first = await socketClient(here.url, person);
    const others = [await authenticatedChat(there.url, person), await authenticatedChat(here.url, person)];
    const last = await socketClient(there.url, person);
    for (const { url } of [here, there]) {
      expect(await newest(url, person)).to.equal(full);
      expect(await newestChat(url, person)).to.equal(full);
    }
    await authenticatedChat(there.url, createUser());
    first.close();
    await waitUntil(
      'its place is free on the other node',
      async () => (await newest(there.url, person)) === 'accepted',
    );
    for (const chat of others) expect(chat.socket.readyState).to.equal(1);
    expect(last.raw.connected).to.equal(true);
  });

  itWithBothAdapters(
    'are counted by each node alone without Redis, and together again when it is back',
    async (adapter) => {
      const { redis, here, there } = await startNodePair({ REDIS_ADAPTER: adapter, MAX_CONNECTIONS_PER_USER: 2 });
      const person = createUser();
      await socketClient(here.url, person);
      const far = await socketClient(there.url, person);
      expect(await newest(here.url, person)).to.equal(full);
      await redis.kill();
      await waitForBus('down', here, there);
      const meanwhile = await authenticatedChat(here.url, person);
      expect(await newest(here.url, person)).to.equal(full);
      // What Redis knew is gone with it: it keeps nothing.
      await redis.start();
      await waitForBus('up', here, there);
      expect(await readMetric(here, 'nano_messaging_connections{transport="chat"}')).to.equal(1);
      for (const { url } of [here, there]) expect(await newest(url, person)).to.equal(full);
      far.close();
      meanwhile.close();
      await waitUntil('there is a place', async () => (await newest(there.url, person)) === 'accepted');
    },
  );
});
