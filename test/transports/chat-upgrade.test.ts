import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import { chatClient } from '../helpers/chat-client.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { answerOn, connectTo, toUpgrade } from '../helpers/upgrade-request.ts';

describeOneWiring('/chat upgrade', ({ url }) => {
  for (const path of ['/chat', '/chat/', '/chat?room=1', '/chat/?x']) {
    it(`serves /chat at ${path}`, async () => {
      const chat = await chatClient(url(), path);
      expect(await chat.next()).to.deep.equal({ type: 'query', data: 'START?' });
    });
  }

  for (const path of ['/', '/chats', '/chat/1', '/chat//', '/rooms', '/CHAT', '/socket.io', '/../chat', '/%63hat']) {
    it(`rejects an upgrade to ${path} at once`, async () => {
      expect(await answerTo(url(), path)).to.match(/^HTTP\/1\.1 404 /);
    });
  }

  it('accepts an upgrade to /chat without an Origin header', async () => {
    const origin = 'https://elsewhere.example';
    const socket = new WebSocket(`${url().replace('http', 'ws')}/chat`, { origin });
    expect(String(await once(socket, 'message'))).to.include('START?');
    socket.terminate();
  });

  it('survives requests to /chat that are not WebSocket handshakes', async () => {
    expect(await answerTo(url(), '/chat', 'Sec-WebSocket-Version: 1')).to.match(/^HTTP\/1\.1 4\d\d /);
    const chat = await chatClient(url());
    expect(await chat.next()).to.include({ data: 'START?' });
  });

  it('does not offer compression on /chat', async () => {
    const socket = new WebSocket(`${url().replace('http', 'ws')}/chat`, { perMessageDeflate: true });
    const [response] = (await once(socket, 'upgrade')) as [IncomingMessage];
    expect(response.headers).not.to.have.property('sec-websocket-extensions');
    socket.terminate();
  });
});

/** Returns everything that the server sends in answer to an upgrade until it closes the connection. */
async function answerTo(url: string, path: string, header?: string): Promise<string> {
  const socket = await connectTo(url);
  socket.write(toUpgrade(path, header));
  return answerOn(socket);
}
