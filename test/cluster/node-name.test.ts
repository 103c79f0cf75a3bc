import { expect } from 'chai';
import { describeOneWiring } from '../helpers/node.ts';
import { socketClient } from '../helpers/socket-client.ts';
import { createUser } from '../helpers/users.ts';

describeOneWiring('NODE_NAME', ({ startNode, url }) => {
  it('starts each session id with NODE_NAME, by which a balancer finds the node', async () => {
    const node = await startNode({ NODE_NAME: 'chat-2' });
    for (const transport of ['polling', 'websocket']) {
      const { raw } = await socketClient(node.url, createUser(), { transports: [transport] });
      expect(raw.io.engine.id, transport).to.match(/^chat-2\.[\w-]{20}$/);
      expect(raw.id, 'the id of the socket differs').to.match(/^[\w-]{20}$/);
    }
  });

  it('creates session ids without a prefix if NODE_NAME is not set', async () => {
    const { raw } = await socketClient(url(), createUser(), { transports: ['polling'] });
    expect(raw.io.engine.id).to.match(/^[\w-]{20}$/);
  });
});
