import { expect } from 'chai';
import { maxTokenLength } from '../../src/auth/token-verification.ts';
import { findBalancer, patientChecks, startBalancer } from '../helpers/balancer.ts';
import { chatClient } from '../helpers/chat-client.ts';
import { postgres, startNode } from '../helpers/node.ts';
import { freshDatabase } from '../helpers/postgres.ts';
import { sharedRedis } from '../helpers/redis.ts';
import { rest } from '../helpers/rest-client.ts';
import { expectConnectError, socketClient } from '../helpers/socket-client.ts';
import { createUser, sign, type TestUser } from '../helpers/users.ts';

/** A user whose token has this length or up to two characters less, because base64 grows in steps. */
function withTokenOf(length: number): TestUser {
  const user = createUser({ level: 100 });
  for (let n = Math.floor((length - user.token.length) * 0.75) + 2; ; n--) {
    const token = sign({ ...user.claims, x: 'x'.repeat(n) });
    if (token.length <= length) return { ...user, token };
  }
}

describe('A token of the maximum length', function () {
  this.timeout(60_000);
  const urls: Record<string, string> = {};

  before(async function () {
    this.timeout(300_000);
    const settings = { DATABASE_URL: await freshDatabase(), REDIS_URL: await sharedRedis() };
    const first = await startNode(postgres, { ...settings, NODE_NAME: 'chat-1' });
    const second = await startNode(postgres, { ...settings, NODE_NAME: 'chat-2' });
    urls['without a balancer'] = first.url;
    for (const kind of ['nginx', 'haproxy'] as const) {
      findBalancer(kind);
      urls[`through ${kind}`] = (await startBalancer(kind, [first.port, second.port], patientChecks[kind])).url;
    }
  });

  for (const way of ['without a balancer', 'through nginx', 'through haproxy']) {
    it(`accepts a token of the maximum length on every transport ${way}, even beside large cookies`, async () => {
      const url = urls[way]!;
      const user = withTokenOf(maxTokenLength);
      expect(user.token.length).to.be.above(maxTokenLength - 3);
      const Cookie = `a=${'x'.repeat(6_000)}`;
      expect((await rest(url, user.token).get('/rooms', { Cookie })).status).to.equal(200);
      for (const transport of ['websocket', 'polling']) {
        await socketClient(url, user, { transports: [transport] });
        const extraHeaders = { Authorization: `Bearer ${user.token}`, Cookie };
        await socketClient(url, user, { transports: [transport], auth: {}, extraHeaders });
      }
      const chat = await chatClient(url);
      chat.send({ type: 'token', content: user.token, id: 'i'.repeat(36) });
      await chat.skipTo(({ data }) => data === 'READY');
    });

    it(`rejects a token above the maximum length on every transport ${way}`, async () => {
      const url = urls[way]!;
      const { token } = withTokenOf(maxTokenLength + 10);
      const { status, body } = await rest(url, token).get('/rooms');
      expect([status, body.meta.reason]).to.deep.equal([401, 'UNAUTHENTICATED']);
      expect(body.meta.detail).to.equal('token: must be a JWT of at most 4000 characters');
      expect((await expectConnectError(url, { token })).data.code).to.equal('UNAUTHENTICATED');
      const chat = await chatClient(url);
      chat.send({ type: 'token', content: token });
      await chat.skipTo(({ data }) => data === 'TOKEN?');
    });
  }
});
