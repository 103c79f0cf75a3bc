import { expect } from 'chai';
import { createClient } from '../../../src/client/client.ts';
import { inbox, lazyInbox } from '../../../src/client/inbox.ts';

/** A client whose token function is counted, and never returns. */
function createCounted() {
  const counted = { tokens: 0 };
  const client = createClient({
    url: 'http://127.0.0.1:1',
    token: () => {
      counted.tokens++;
      return new Promise(() => {});
    },
  });
  return { client, counted };
}

const settle = () => new Promise(setImmediate);

describe('createClient', () => {
  it('asks for no token before connect(), and for one token after several calls', async () => {
    const { client, counted } = createCounted();
    client.room(1).on('change', () => {});
    inbox(client);
    await settle();
    expect([client.state, counted.tokens]).to.deep.equal(['connecting', 0]);
    client.connect();
    client.connect();
    await settle();
    expect(counted.tokens).to.equal(1);
    client.close();
    client.connect();
    await settle();
    expect([client.state, counted.tokens]).to.deep.equal(['closed', 1]);
  });
});

describe('the inbox of a client', () => {
  it('is the same object until it is closed', () => {
    const { client } = createCounted();
    const first = lazyInbox(client);
    expect(inbox(client)).to.equal(first);
    expect(lazyInbox(client, { limit: 7 })).to.equal(first);
    first.close();
    const second = lazyInbox(client);
    expect([second === first, second.state]).to.deep.equal([false, 'opening']);
  });

  it('remains the same and closed after the client is closed, whether it was opened or not', async () => {
    for (const open of [inbox, lazyInbox]) {
      const { client } = createCounted();
      const before = open(client);
      client.close();
      before.on('change', () => {});
      await settle();
      expect([before.state, open(client) === before]).to.deep.equal(['closed', true]);
    }
    const { client } = createCounted();
    client.close();
    const created = lazyInbox(client);
    expect([created.state, inbox(client) === created]).to.deep.equal(['closed', true]);
  });
});
