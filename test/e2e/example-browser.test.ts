import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import type { Page } from 'playwright-core';
import { browserWindow, hasChromium } from '../helpers/chromium.ts';
import { reportViolation } from '../helpers/cleanup.ts';
import type { Json } from '../helpers/json.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { project } from '../helpers/program.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, putRule, sendMessages } from '../helpers/rooms.ts';
import { nodeProxy } from '../helpers/tcp-proxy.ts';
import { sign, type TestUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const file = 'examples/browser/index.html';
const page = pathToFileURL(join(project, file)).href;

/** The example in a new window. */
async function opened(fragment: Record<string, string> = {}, isDark = false): Promise<Page> {
  const window = await browserWindow({ colorScheme: isDark ? 'dark' : 'light' });
  const tab = await window.newPage();
  tab.on('pageerror', (error) => reportViolation(`${file}: ${error.stack}`));
  tab.setDefaultTimeout(15_000);
  await tab.clock.install();
  await tab.goto(`${page}#${new URLSearchParams(fragment)}`);
  return tab;
}

/** Opens a room that the fragment of the URL names. */
async function inRoom(url: string, { token }: { token: string }, room: { id: number }): Promise<Page> {
  const tab = await opened({ url: `${url.replace('http', 'ws')}/chat`, token, room: String(room.id) });
  await status(tab, 'connected');
  return tab;
}

async function enter(tab: Page, url: string, { token }: { token: string }, room: { id: number | string }) {
  await tab.getByLabel('Server').fill(`${url.replace('http', 'ws')}/chat`);
  await tab.getByLabel('Room').fill(String(room.id));
  await tab.getByLabel('Token').fill(token);
  await tab.getByRole('button', { name: 'Enter' }).click();
}

const status = (tab: Page, text: string) => tab.locator('#status', { hasText: text }).waitFor();
const sees = (tab: Page, text: string) => tab.locator('li:not(.waiting) p').getByText(text, { exact: true }).waitFor();
const texts = (tab: Page) => tab.locator('li p').allTextContents();

async function write(tab: Page, text: string): Promise<void> {
  await tab.getByLabel('Message').fill(text);
  await tab.getByRole('button', { name: 'Send' }).click();
}

async function history(url: string, person: TestUser, room: { id: number }): Promise<string[]> {
  const { body } = await rest(url, person.token).get(`/rooms/${room.id}/messages?limit=500`);
  return body.content.map(({ content }: Json) => content);
}

describeOneWiring(`the example for the browser, ${file}, opened from disk`, (node) => {
  before(function () {
    this.timeout(300_000);
    if (!hasChromium()) this.skip(); // not on Debian, or not root
  });

  it('shows history and live messages and sends messages, as text and not as HTML', async () => {
    const url = node.url();
    const { owner, room } = await createRoomWithOwner(url);
    const ben = await createMember(url, owner, room);
    await sendMessages(url, owner, room, '<img src=x onerror="alert(1)">');
    const tab = await inRoom(url, ben, room);
    await sees(tab, '<img src=x onerror="alert(1)">');
    await write(tab, '<b>from</b> Ben');
    await sees(tab, '<b>from</b> Ben');
    await sendMessages(url, owner, room, 'and back');
    await sees(tab, 'and back');
    expect(await texts(tab)).to.deep.equal(await history(url, owner, room));
    expect(await tab.locator('li.mine p').allTextContents()).to.deep.equal(['<b>from</b> Ben']);
  });

  it('reads the token from the fragment and removes it from the page', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const tab = await inRoom(node.url(), owner, room);
    expect(tab.url()).to.equal(page);
  });

  it('accepts a pasted room and token, and asks again after an invalid token', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const tab = await opened();
    await enter(tab, node.url(), { token: sign(owner.claims, { secret: 'of somebody else' }) }, { id: room.uuid });
    await status(tab, 'TOKEN? UNAUTHENTICATED');
    await tab.getByLabel('Token').fill(owner.token);
    await tab.getByRole('button', { name: 'Enter' }).click();
    await status(tab, 'connected, rwa');
  });

  it('loses and duplicates no messages although the connection is cut again and again', async () => {
    const proxy = await nodeProxy(node.url());
    const { owner, room } = await createRoomWithOwner(node.url());
    const tab = await inRoom(proxy.url, owner, room);
    await write(tab, 'one');
    await sees(tab, 'one');
    await tab.evaluate("document.querySelector('li').title = 'kept'");
    proxy.loseNextResponse();
    await write(tab, 'two');
    await status(tab, 'back in');
    await tab.clock.fastForward(1_000);
    await sees(tab, 'two'); // over a second connection, on which it is resent
    proxy.cut();
    await status(tab, 'back in');
    await write(tab, 'three');
    await write(tab, 'four');
    await sendMessages(node.url(), owner, room, 'sent during the outage');
    proxy.restore();
    await tab.clock.fastForward(1_000);
    await sees(tab, 'four');
    const all = await history(node.url(), owner, room);
    expect(all).to.deep.equal(['one', 'two', 'sent during the outage', 'three', 'four']);
    expect(await texts(tab)).to.deep.equal(all);
    expect(await tab.getByTitle('kept').count(), 'caught up, not loaded again').to.equal(1);
  });

  it('notices a silent connection and reconnects', async () => {
    const proxy = await nodeProxy(node.url());
    const { owner, room } = await createRoomWithOwner(node.url());
    const tab = await inRoom(proxy.url, owner, room);
    proxy.dropTrafficOfOpenConnections();
    await sendMessages(node.url(), owner, room, 'unheard');
    await tab.clock.fastForward(20_000);
    await tab.clock.fastForward(20_000);
    await status(tab, 'no answer, back in');
    await tab.clock.fastForward(1_000);
    await sees(tab, 'unheard');
  });

  it('keeps a live connection without messages open', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const tab = await opened();
    let answers = 0;
    tab.on('websocket', (socket) => {
      socket.on('framereceived', ({ payload }) => {
        if (String(payload).includes('COMMAND?')) answers += 1;
      });
    });
    await enter(tab, node.url(), owner, room);
    await status(tab, 'connected');
    for (let beat = 1; beat <= 3; beat++) {
      await tab.clock.fastForward(20_000);
      await waitUntil('the server has answered', () => answers === beat);
    }
    await status(tab, 'connected');
  });

  it('starts with the latest page and loads older pages', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const contents = Array.from({ length: 60 }, (_, n) => `message ${n}`);
    await sendMessages(node.url(), owner, room, ...contents);
    const tab = await inRoom(node.url(), owner, room);
    await sees(tab, 'message 59');
    expect(await texts(tab)).to.deep.equal(contents.slice(-50));
    await tab.getByRole('button', { name: 'Older' }).click();
    await sees(tab, 'message 0');
    expect(await texts(tab)).to.deep.equal(contents);
    await waitUntil('there is nothing older', () => tab.getByRole('button', { name: 'Older' }).isHidden());
  });

  it('starts again from the latest page if it has missed too much', async () => {
    const proxy = await nodeProxy(node.url());
    const { owner, room } = await createRoomWithOwner(node.url());
    const tab = await inRoom(proxy.url, owner, room);
    await write(tab, 'one');
    await sees(tab, 'one');
    proxy.cut();
    await status(tab, 'back in');
    await sendMessages(
      node.url(),
      owner,
      room,
      ...Array.from({ length: 40 }, (_, n) => `${n} `.padEnd(8_000, '.')),
      'the last',
    );
    proxy.restore();
    await tab.clock.fastForward(1_000);
    await sees(tab, 'the last');
    const shown = await texts(tab);
    expect(shown)
      .to.have.length.above(20)
      .and.to.deep.equal((await history(node.url(), owner, room)).slice(-shown.length));
  });

  it('shows refusals', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const tab = await inRoom(node.url(), await createMember(node.url(), owner, room, 'r'), room);
    await write(tab, 'may I?');
    await tab.locator('li.refused', { hasText: 'not sent' }).waitFor();
  });

  it('stops and shows the reason after a ban', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const ben = await createMember(node.url(), owner, room);
    const tab = await inRoom(node.url(), ben, room);
    await putRule(node.url(), owner, room, { userUUID: ben.user, permissions: 'b' });
    await status(tab, 'NOTAUTHORIZED BANNED');
    await tab.clock.fastForward(60_000);
    await status(tab, 'NOTAUTHORIZED BANNED');
  });

  it('follows the colour scheme of the system', async () => {
    const ground = async (isDark: boolean) =>
      (await opened({}, isDark)).evaluate('getComputedStyle(document.body).backgroundColor');
    expect(await ground(true)).not.to.equal(await ground(false));
  });
});
