import { once } from 'node:events';
import { expect } from 'chai';
import WebSocket from 'ws';
import { authenticatedChat } from '../helpers/chat-client.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { createUser } from '../helpers/users.ts';

describeOneWiring('/chat keep-alive', ({ startNode, url }) => {
  const pinging = (pingIntervalMs: number) => startNode({}, (config) => ({ ...config, pingIntervalMs }));

  it('sends WebSocket pings (the legacy service sent none) and no frames', async () => {
    // If this process stands still for longer than the interval, the node ends the connection before it reads the pong.
    const chat = await authenticatedChat((await pinging(1_000)).url, createUser());
    for (let n = 0; n < 2; n++) await once(chat.socket, 'ping');
    chat.send({ type: 'fence' });
    expect(await chat.next()).to.include({ data: 'COMMAND?' });
  });

  it('answers pings of clients, and commands of clients that send no pings', async () => {
    const chat = await authenticatedChat(url(), createUser());
    chat.socket.ping('are you there?');
    const [pong] = await once(chat.socket, 'pong');
    expect(String(pong)).to.equal('are you there?');
    chat.send({ type: 'ping', id: 'beat' });
    expect(await chat.next()).to.deep.equal({ type: 'query', data: 'COMMAND?', id: 'beat' });
  });

  it('closes a /chat connection that does not answer pings', async () => {
    const { url } = await pinging(50);
    const socket = new WebSocket(`${url.replace('http', 'ws')}/chat`, { autoPong: false });
    await once(socket, 'close');
  });
});
