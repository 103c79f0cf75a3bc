import { expect } from 'chai';
import { freePort } from '../helpers/free-port.ts';
import { startMountedNode } from '../helpers/mounted-node.ts';
import { postgres, startNode } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { adminToken, createUser } from '../helpers/users.ts';

const path = '/admin/revocations';

describe('access to /admin', () => {
  it('accepts each of several tokens, so that one of them can be replaced', async () => {
    const other = 'another-token-of-the-administrator-for-tests';
    const { url } = await startNode(postgres, { ADMIN_TOKEN: `${other},${adminToken}` });
    for (const token of [other, adminToken]) expect((await rest(url, token).get(path)).status).to.equal(200);
    for (const token of [`${other},${adminToken}`, `${other}x`, undefined]) {
      expectRefusal(await rest(url, token).get(path), 'UNAUTHENTICATED');
    }
    const lower = { Authorization: `bearer ${other}` };
    expect((await rest(url).get(path, lower)).status).to.equal(200);
  });

  it('names the whole path if no route matches it', async () => {
    const { url } = await startNode(postgres);
    const refused = await rest(url, adminToken).get('/admin/nothing/here');
    expectRefusal(refused, 'NOT_FOUND');
    expect(refused.body.meta.detail).to.equal('No route matches GET /admin/nothing/here');
  });

  it('is only on ADMIN_PORT if that is set', async () => {
    const port = await freePort();
    const node = await startNode(postgres, { ADMIN_PORT: port });
    const { url } = node;
    const adminUrl = `http://127.0.0.1:${port}`;
    expectRefusal(await rest(url, adminToken).get(path), 'NOT_FOUND');
    expect((await rest(adminUrl, adminToken).get(path)).status).to.equal(200);
    expectRefusal(await rest(adminUrl).get(path), 'UNAUTHENTICATED');
    for (const other of ['/rooms', '/healthz', '/openapi.json', '/']) {
      const headers = { Authorization: `Bearer ${createUser().token}` };
      expect((await fetch(adminUrl + other, { headers })).status, other).to.equal(404);
    }
    expect((await rest(adminUrl).get('/admin/openapi.json')).status).to.equal(200);
    expect((await fetch(`${url}/admin/openapi.json`)).status).to.equal(404);
    await rest(adminUrl, adminToken).get(path);
    expect(await node.drain()).to.equal(true);
    expect(await fetch(adminUrl).catch(() => 'closed')).to.equal('closed');
  });

  it('is below the prefix of a mounted service, or on ADMIN_PORT without the prefix', async () => {
    const port = await freePort();
    const [below, beside] = await Promise.all([
      startMountedNode({ ADMIN_TOKEN: adminToken }),
      startMountedNode({ ADMIN_TOKEN: adminToken, ADMIN_PORT: port, HOST: '127.0.0.1' }),
    ]);
    expect((await rest(below.url, adminToken).get(path)).status).to.equal(200);
    expect((await rest(`http://127.0.0.1:${port}`, adminToken).get(path)).status).to.equal(200);
    expectRefusal(await rest(beside.url, adminToken).get(path), 'NOT_FOUND');
    expect(await (await fetch(`${beside.appUrl}${path}`)).text()).to.equal('the app');
  });
});
