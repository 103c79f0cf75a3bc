import { expect } from 'chai';
import { chatClient, readyChat } from '../helpers/chat-client.ts';
import { type Person, somebody } from '../helpers/people.ts';
import { figure, itWithBoth, lines, redisPair } from '../helpers/redis-pair.ts';
import { refusedSocket, socketClient } from '../helpers/socket-client.ts';
import { until } from '../helpers/until.ts';

const newest = (url: string, { token }: Person) =>
  refusedSocket(url, { token }).then(
    ({ data }) => data.code,
    () => 'welcome',
  );

async function newestChat(url: string, { token }: Person): Promise<string> {
  const chat = await chatClient(url);
  chat.send({ type: 'token', content: token });
  await chat.next();
  const frame = await chat.next();
  if (frame.data === 'READY') return 'welcome';
  expect(await chat.closed).to.equal(4429);
  return String(frame.reason);
}

const full = 'TOO_MANY_CONNECTIONS';

describe('The connections of a user on two nodes', () => {
  itWithBoth('are counted together over both transports, and the newest is refused', async (adapter) => {
    const { here, there } = await redisPair({ REDIS_ADAPTER: adapter, MAX_CONNECTIONS_PER_USER: 4 });
    const person = somebody();
    const first = await socketClient(here.url, person);
    const others = [await readyChat(there.url, person), await readyChat(here.url, person)];
    const last = await socketClient(there.url, person);
    for (const { url } of [here, there]) {
      expect(await newest(url, person)).to.equal(full);
      expect(await newestChat(url, person)).to.equal(full);
    }
    await readyChat(there.url, somebody());
    first.close();
    await until('its place is free on the other node', async () => (await newest(there.url, person)) === 'welcome');
    for (const chat of others) expect(chat.socket.readyState).to.equal(1);
    expect(last.raw.connected).to.equal(true);
  });

  itWithBoth('are counted by each node alone without Redis, and together again when it is back', async (adapter) => {
    const { redis, here, there } = await redisPair({ REDIS_ADAPTER: adapter, MAX_CONNECTIONS_PER_USER: 2 });
    const person = somebody();
    await socketClient(here.url, person);
    const far = await socketClient(there.url, person);
    expect(await newest(here.url, person)).to.equal(full);
    await redis.kill();
    await lines('down', here, there);
    const meanwhile = await readyChat(here.url, person);
    expect(await newest(here.url, person)).to.equal(full);
    // What Redis knew is gone with it: it keeps nothing.
    await redis.start();
    await lines('up', here, there);
    expect(await figure(here, 'nano_messaging_connections{transport="chat"}')).to.equal(1);
    for (const { url } of [here, there]) expect(await newest(url, person)).to.equal(full);
    far.close();
    meanwhile.close();
    await until('there is a place', async () => (await newest(there.url, person)) === 'welcome');
  });
});
