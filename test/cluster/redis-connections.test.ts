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
  itWithBothAdapters(
    'counts the connections of a user over both nodes and transports, and refuses the newest above the limit',
    async (adapter) => {
      const { here, there } = await startNodePair({ REDIS_ADAPTER: adapter, MAX_CONNECTIONS_PER_USER: 4 });
      const user = createUser();
      const first = await socketClient(here.url, user);
      const others = [await authenticatedChat(there.url, user), await authenticatedChat(here.url, user)];
      const last = await socketClient(there.url, user);
      for (const { url } of [here, there]) {
        expect(await newest(url, user)).to.equal(full);
        expect(await newestChat(url, user)).to.equal(full);
      }
      await authenticatedChat(there.url, createUser());
      first.close();
      await waitUntil(
        'the other node accepts a new connection',
        async () => (await newest(there.url, user)) === 'accepted',
      );
      for (const chat of others) expect(chat.socket.readyState).to.equal(1);
      expect(last.raw.connected).to.equal(true);
    },
  );

  itWithBothAdapters(
    'counts the connections of a user per node while Redis is down, and over both nodes once it is available again',
    async (adapter) => {
      const { redis, here, there } = await startNodePair({ REDIS_ADAPTER: adapter, MAX_CONNECTIONS_PER_USER: 2 });
      const user = createUser();
      await socketClient(here.url, user);
      const far = await socketClient(there.url, user);
      expect(await newest(here.url, user)).to.equal(full);
      await redis.kill();
      await waitForBus('down', here, there);
      const duringOutage = await authenticatedChat(here.url, user);
      expect(await newest(here.url, user)).to.equal(full);
      // The restarted Redis is empty, because it does not persist data.
      await redis.start();
      await waitForBus('up', here, there);
      expect(await readMetric(here, 'nano_messaging_connections{transport="chat"}')).to.equal(1);
      for (const { url } of [here, there]) expect(await newest(url, user)).to.equal(full);
      far.close();
      duringOutage.close();
      await waitUntil('there is a place', async () => (await newest(there.url, user)) === 'accepted');
    },
  );
});
