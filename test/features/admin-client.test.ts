import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { AdminError, createAdminClient } from '../../src/sdk/sdk.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { nodeProxy } from '../helpers/tcp-proxy.ts';
import { adminToken } from '../helpers/users.ts';

describeOneWiring('nano-messaging/server', (node) => {
  it('calls the routes below /admin', async () => {
    const { revocations } = createAdminClient({ url: node.url(), token: adminToken });
    const jti = randomUUID();
    const created = await revocations.create({ jti });
    expect(created.code).to.equal(201);
    expect(await revocations.create({ jti })).to.deep.equal({ code: 200, content: created.content });
    expect((await revocations.list({ limit: 1 })).content).to.deep.equal([created.content]);
    expect(await revocations.lift(created.content.id)).to.deep.equal({ code: 200, content: null });
  });

  it('stores messages once, and edits one once, although the answers are lost', async () => {
    const proxy = await nodeProxy(node.url());
    const client = createAdminClient({ url: proxy.url, token: adminToken });
    const key = `key:order-${randomUUID()}` as const;
    const { content } = await client.rooms.put(key, { name: 'Order 17' });
    expect(content.room).to.include({ name: 'Order 17', key: key.slice('key:'.length) });
    proxy.loseNextResponse();
    const sent = await client.messages.send(key, { messages: [{ content: 'one' }, { content: 'two' }] });
    expect(sent).to.deep.include({ code: 200 });
    expect(sent.meta.duplicates, 'the retry was answered').to.deep.equal([1, 2]);
    expect(sent.content.map((message) => message.content)).to.deep.equal(['one', 'two']);
    proxy.loseNextResponse();
    const base = sent.content[0]!.version;
    const edited = await client.messages.edit(key, 1, { content: 'edited', base });
    expect(edited.content.content).to.equal('edited');
    expect(edited.meta.changed, 'the retry was answered').to.equal(false);
  });

  it('rejects with an AdminError for a wrong token and for a wrong field', async () => {
    const failureOf = (call: Promise<unknown>) => call.catch((error: unknown) => error);
    const wrong = createAdminClient({ url: node.url(), token: 'another token' });
    const unauthenticated = await failureOf(wrong.revocations.list());
    expect(unauthenticated).to.be.an.instanceof(AdminError).and.include({ code: 'UNAUTHENTICATED', status: 401 });
    const { revocations } = createAdminClient({ url: node.url(), token: adminToken });
    const refused = await failureOf(revocations.list({ limit: 0 }));
    expect(refused).to.include({ code: 'BAD_REQUEST', status: 400, field: 'limit' });
  });
});
