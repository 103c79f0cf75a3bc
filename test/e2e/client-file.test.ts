import { createHash } from 'node:crypto';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { readPackageInfo } from '../../src/transports/http/documents/package-info.ts';
import { browserWindow, hasChromium } from '../helpers/chromium.ts';
import { closeLater, reportViolation } from '../helpers/cleanup.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { nodeProxy } from '../helpers/tcp-proxy.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const { version } = readPackageInfo();
const sha384 = (text: string) => `sha384-${createHash('sha384').update(text).digest('base64')}`;

/** Serves the page from another origin than the service. */
async function servePage(html: string): Promise<string> {
  const server = createServer((_request, response) => void response.setHeader('Content-Type', 'text/html').end(html));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeLater(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

/** `fetch` would ask caches for a fresh answer if it is given an `If-None-Match`. */
const getStatus = (url: string, headers: Record<string, string>) =>
  new Promise<number>((resolve, reject) => {
    get(url, { headers }, (response) => resolve(response.resume().statusCode!)).on('error', reject);
  });

describeOneWiring('the client library that the service serves as one file', ({ url }) => {
  before(function () {
    this.timeout(240_000);
    if (!hasChromium()) this.skip();
  });

  /** Opens a page of another origin that joins the room and shows its messages. */
  async function showMessages(head: string, serviceUrl = url()) {
    const { owner, room } = await createRoomWithOwner(url());
    await sendMessages(url(), owner, room, 'one', 'two');
    const tab = await (await browserWindow()).newPage();
    tab.on('pageerror', (error) => reportViolation(`the page: ${error.stack}`));
    const script = `const client = connect({ url: ${JSON.stringify(serviceUrl)}, token: async () => '${owner.token}' });
      const room = client.room(${room.id});
      room.on('change', () => { document.body.textContent = room.messages.map(({ content }) => content).join(' '); });
      inbox(client).on('change', () => { document.title = 'has an inbox'; });`;
    const html = `<!doctype html><title>app</title><body></body>${head.replace('SCRIPT', () => script)}`;
    await tab.goto(await servePage(html));
    await tab.getByText('one two').waitFor();
    await tab.waitForFunction(`document.title === 'has an inbox'`);
    return { owner, room, tab };
  }

  it('works from one script tag, with its hash in integrity', async () => {
    const file = `${url()}/client-${version}.js`;
    const answer = await fetch(file, { headers: { Origin: 'http://app.example' } });
    expect(answer.headers.get('cache-control')).to.equal('public, max-age=31536000, immutable');
    expect(answer.headers.get('access-control-allow-origin')).to.equal('*');
    expect(answer.headers.get('content-type')).to.include('javascript');
    const tag = `<script src="${file}" integrity="${sha384(await answer.text())}" crossorigin></script>`;
    await showMessages(`${tag}<script>const { connect, inbox } = nanoMessaging; SCRIPT</script>`);
  });

  it('works as a module', async () => {
    const tag = `<script type="module">import { connect, inbox } from '${url()}/client.mjs'; SCRIPT</script>`;
    await showMessages(tag);
  });

  it('shows what it missed when the page becomes visible, although its connection has died without notice', async function () {
    this.timeout(60_000);
    const proxy = await nodeProxy(url());
    const tag = `<script type="module">import { connect, inbox } from '${url()}/client.mjs'; SCRIPT</script>`;
    const { owner, room, tab } = await showMessages(tag, proxy.url);
    const isUpgraded = () => proxy.requestLines.some((line) => line.includes('transport=websocket'));
    await waitUntil('the connection is being upgraded', isUpgraded);
    await sendMessages(url(), owner, room, 'over WebSocket');
    await tab.getByText('over WebSocket').waitFor();
    proxy.dropTrafficOfOpenConnections();
    await sendMessages(url(), owner, room, 'missed');
    const start = performance.now();
    await tab.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`);
    await tab.getByText('over WebSocket missed').waitFor();
    // Socket.IO would notice it by the missing ping after 25 to 45 s.
    expect(performance.now() - start).to.be.within(2_900, 20_000);
  });

  it('is checked for changes at each request under its name without a version', async () => {
    for (const name of ['client.js', 'client.mjs']) {
      const answer = await fetch(`${url()}/${name}`);
      expect(answer.headers.get('cache-control'), name).to.equal('no-cache');
      const headers = { 'If-None-Match': answer.headers.get('etag')!, 'Accept-Encoding': 'gzip' };
      expect(await getStatus(`${url()}/${name}`, headers), name).to.equal(304);
    }
  });

  it('is not found under another version', async () => {
    expect((await fetch(`${url()}/client-99.0.0.js`)).status).to.equal(404);
  });
});
