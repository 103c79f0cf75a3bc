import { once } from 'node:events';
import { expect } from 'chai';
import WebSocket from 'ws';
import { readyChat } from '../support/chat-client.ts';
import { describeEveryWiring } from '../support/node.ts';
import { somebody } from '../support/people.ts';

describeEveryWiring('/chat keep-alive', ({ startNode }) => {
  const pinging = () => startNode({}, (config) => ({ ...config, pingMs: 50 }));

  it('is WebSocket ping (the original had none), and no frame', async () => {
    const chat = await readyChat((await pinging()).url, somebody());
    for (let n = 0; n < 3; n++) await once(chat.socket, 'ping');
    chat.send({ type: 'fence' });
    expect(await chat.next()).to.include({ data: 'COMMAND?' });
  });

  it('ends a connection that does not answer', async () => {
    const { url } = await pinging();
    const socket = new WebSocket(`${url.replace('http', 'ws')}/chat`, { autoPong: false });
    await once(socket, 'close');
  });
});
