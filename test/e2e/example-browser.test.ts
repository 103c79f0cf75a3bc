import { resolve } from 'node:path';
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
const page = pathToFileURL(resolve(project, file)).href;

/** Opens the example in a separate browser context. Its clock stands still, so that it reconnects only when a test says so. */
async function openPage(fragment: Record<string, string> = {}, isDark = false): Promise<Page> {
  const window = await browserWindow({ colorScheme: isDark ? 'dark' : 'light' });
  const tab = await window.newPage();
  tab.on('pageerror', (error) => reportViolation(`${file}: ${error.stack}`));
  tab.setDefaultTimeout(30_000);
  await tab.clock.install({ time: 0 });
  await tab.clock.pauseAt(1_000);
  await tab.goto(`${page}#${new URLSearchParams(fragment)}`);
  return tab;
}

/** Joins the room through the page's fragment. */
async function openRoom(url: string, { token }: { token: string }, room: { id: number }): Promise<Page> {
  const tab = await openPage({ url: `${url.replace('http', 'ws')}/chat`, token, room: String(room.id) });
  await waitForStatus(tab, 'connected');
  return tab;
}

async function join(tab: Page, url: string, { token }: { token: string }, room: { id: number | string }) {
  await tab.getByLabel('Server').fill(`${url.replace('http', 'ws')}/chat`);
  await tab.getByLabel('Room').fill(String(room.id));
  await tab.getByLabel('Token').fill(token);
  await tab.getByRole('button', { name: 'Join' }).click();
}

const waitForStatus = (tab: Page, text: string) => tab.locator('#status', { hasText: text }).waitFor();
const waitForMessage = (tab: Page, text: string) =>
  tab.locator('li:not(.pending) p').getByText(text, { exact: true }).waitFor();
const readMessages = (tab: Page) => tab.locator('li p').allTextContents();

async function send(tab: Page, text: string): Promise<void> {
  await tab.getByLabel('Message').fill(text);
  await tab.getByRole('button', { name: 'Send' }).click();
}

async function readHistory(url: string, user: TestUser, room: { id: number }): Promise<string[]> {
  const { body } = await rest(url, user.token).get(`/rooms/${room.id}/messages?limit=500`);
  return body.content.map(({ content }: Json) => content);
}

describeOneWiring(`the browser example, ${file}, opened from disk`, (node) => {
  before(function () {
    this.timeout(300_000);
    if (!hasChromium()) this.skip(); // not on Debian, or not root
  });

  it('shows earlier and new messages and sends messages, as text and not as HTML', async () => {
    const url = node.url();
    const { owner, room } = await createRoomWithOwner(url);
    const ben = await createMember(url, owner, room);
    await sendMessages(url, owner, room, '<img src=x onerror="alert(1)">');
    const tab = await openRoom(url, ben, room);
    await waitForMessage(tab, '<img src=x onerror="alert(1)">');
    await send(tab, '<b>from</b> Ben');
    await waitForMessage(tab, '<b>from</b> Ben');
    await sendMessages(url, owner, room, 'and back');
    await waitForMessage(tab, 'and back');
    expect(await readMessages(tab)).to.deep.equal(await readHistory(url, owner, room));
    expect(await tab.locator('li.own p').allTextContents()).to.deep.equal(['<b>from</b> Ben']);
  });

  it('edits, deletes and reacts, and shows what others do, also what happened during a disconnection', async () => {
    const proxy = await nodeProxy(node.url());
    const { owner, room } = await createRoomWithOwner(node.url());
    const ben = await createMember(node.url(), owner, room);
    const messages = `/rooms/${room.id}/messages`;
    await sendMessages(node.url(), owner, room, 'from the owner', 'also');
    const tab = await openRoom(proxy.url, ben, room);
    const item = (text: string) => tab.locator('li', { has: tab.getByText(text, { exact: true }) });
    await send(tab, 'mine');
    await waitForMessage(tab, 'mine');
    await item('mine').getByRole('button', { name: 'Edit' }).click();
    await send(tab, 'edited');
    await item('edited').locator('small', { hasText: 'edited' }).waitFor();
    await item('from the owner').getByRole('button', { name: '👍' }).click();
    await item('from the owner').locator('small', { hasText: '👍 1' }).waitFor();
    expect(await item('from the owner').getByRole('button', { name: 'Delete' }).count()).to.equal(0);

    proxy.cut();
    await waitForStatus(tab, 'reconnecting in');
    const client = rest(node.url(), owner.token);
    await client.patch(`${messages}/1`, { content: 'from the owner, edited' });
    await client.put(`${messages}/1/reactions/%F0%9F%91%8D`);
    await client.delete(`${messages}/2`);
    proxy.restore();
    await tab.clock.fastForward(1_000);
    await waitForMessage(tab, 'from the owner, edited');
    await item('from the owner, edited').locator('small', { hasText: '👍 2' }).waitFor();
    await item('edited').getByRole('button', { name: 'Delete' }).click();
    await waitUntil('both deleted messages are shown as such', async () => {
      return (await readMessages(tab)).join() === 'from the owner, edited,deleted,deleted';
    });
  });

  it('does not overwrite an edit that another device has made in between', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    await sendMessages(node.url(), owner, room, 'first');
    const tab = await openRoom(node.url(), owner, room);
    await waitForMessage(tab, 'first');
    await tab.getByRole('button', { name: 'Edit' }).click();
    await rest(node.url(), owner.token).patch(`/rooms/${room.id}/messages/1`, { content: 'from a phone' });
    await waitForMessage(tab, 'from a phone');
    await send(tab, 'from the page');
    await waitForStatus(tab, 'has changed');
    expect(await readMessages(tab)).to.deep.equal(['from a phone']);
  });

  it('removes the token from the address after it joined with the fragment', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const tab = await openRoom(node.url(), owner, room);
    expect(tab.url()).to.equal(page);
  });

  it('joins with the room and token of the form, and shows the form again if the token is rejected', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const tab = await openPage();
    await join(
      tab,
      node.url(),
      { token: sign(owner.claims, { secret: 'a secret of another service' }) },
      { id: room.uuid },
    );
    await waitForStatus(tab, 'TOKEN? UNAUTHENTICATED');
    await tab.getByLabel('Token').fill(owner.token);
    await tab.getByRole('button', { name: 'Join' }).click();
    await waitForStatus(tab, 'connected, rwa');
  });

  it('loses and duplicates no message if the connection breaks several times', async () => {
    const proxy = await nodeProxy(node.url());
    const { owner, room } = await createRoomWithOwner(node.url());
    const tab = await openRoom(proxy.url, owner, room);
    await send(tab, 'one');
    await waitForMessage(tab, 'one');
    await tab.evaluate("document.querySelector('li').title = 'kept'");
    proxy.loseNextResponse();
    await send(tab, 'two');
    await waitForStatus(tab, 'reconnecting in');
    await tab.clock.fastForward(1_000);
    await waitForMessage(tab, 'two'); // the response was lost, so the page sent it again over a second connection
    proxy.cut();
    await waitForStatus(tab, 'reconnecting in');
    await send(tab, 'three');
    await send(tab, 'four');
    await sendMessages(node.url(), owner, room, 'sent during the disconnection');
    proxy.restore();
    await tab.clock.fastForward(1_000);
    await waitForMessage(tab, 'four');
    const all = await readHistory(node.url(), owner, room);
    expect(all).to.deep.equal(['one', 'two', 'sent during the disconnection', 'three', 'four']);
    expect(await readMessages(tab)).to.deep.equal(all);
    expect(await tab.getByTitle('kept').count(), 'the page resumed and did not load the history again').to.equal(1);
  });

  it('detects a dead connection and reconnects', async () => {
    const proxy = await nodeProxy(node.url());
    const { owner, room } = await createRoomWithOwner(node.url());
    const tab = await openRoom(proxy.url, owner, room);
    proxy.dropTrafficOfOpenConnections();
    await sendMessages(node.url(), owner, room, 'missed');
    await tab.clock.fastForward(20_000);
    await tab.clock.fastForward(20_000);
    await waitForStatus(tab, 'no answer, reconnecting in');
    await tab.clock.fastForward(1_000);
    await waitForMessage(tab, 'missed');
  });

  it('keeps an idle connection open while the server answers its pings', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const tab = await openPage();
    let pongs = 0;
    tab.on('websocket', (socket) => {
      socket.on('framereceived', ({ payload }) => {
        if (String(payload).includes('COMMAND?')) pongs += 1;
      });
    });
    await join(tab, node.url(), owner, room);
    await waitForStatus(tab, 'connected');
    for (let ping = 1; ping <= 3; ping++) {
      await tab.clock.fastForward(20_000);
      await waitUntil('the server has answered', () => pongs === ping);
    }
    await waitForStatus(tab, 'connected');
  });

  it('shows the latest page first and loads older pages on request', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const contents = Array.from({ length: 60 }, (_, n) => `message ${n}`);
    await sendMessages(node.url(), owner, room, ...contents);
    const tab = await openRoom(node.url(), owner, room);
    await waitForMessage(tab, 'message 59');
    expect(await readMessages(tab)).to.deep.equal(contents.slice(-50));
    await tab.getByRole('button', { name: 'Older' }).click();
    await waitForMessage(tab, 'message 0');
    expect(await readMessages(tab)).to.deep.equal(contents);
    await waitUntil('the button for older messages is hidden', () =>
      tab.getByRole('button', { name: 'Older' }).isHidden(),
    );
  });

  it('loads the latest page again if it missed too many messages', async () => {
    const proxy = await nodeProxy(node.url());
    const { owner, room } = await createRoomWithOwner(node.url());
    const tab = await openRoom(proxy.url, owner, room);
    await send(tab, 'one');
    await waitForMessage(tab, 'one');
    proxy.cut();
    await waitForStatus(tab, 'reconnecting in');
    await sendMessages(
      node.url(),
      owner,
      room,
      ...Array.from({ length: 40 }, (_, n) => `${n} `.padEnd(8_000, '.')),
      'the last',
    );
    proxy.restore();
    await tab.clock.fastForward(1_000);
    await waitForMessage(tab, 'the last');
    const shown = await readMessages(tab);
    expect(shown)
      .to.have.length.above(20)
      .and.to.deep.equal((await readHistory(node.url(), owner, room)).slice(-shown.length));
  });

  it('marks a rejected message and keeps it in the list', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const tab = await openRoom(node.url(), await createMember(node.url(), owner, room, 'r'), room);
    await send(tab, 'may I?');
    await tab.locator('li.rejected', { hasText: 'not sent' }).waitFor();
  });

  it('stops reconnecting and shows the reason after a ban', async () => {
    const { owner, room } = await createRoomWithOwner(node.url());
    const ben = await createMember(node.url(), owner, room);
    const tab = await openRoom(node.url(), ben, room);
    await putRule(node.url(), owner, room, { userUUID: ben.user, permissions: 'b' });
    await waitForStatus(tab, 'NOTAUTHORIZED BANNED');
    await tab.clock.fastForward(60_000);
    await waitForStatus(tab, 'NOTAUTHORIZED BANNED');
  });

  it('follows the preferred color scheme, light or dark', async () => {
    const readBackground = async (isDark: boolean) =>
      (await openPage({}, isDark)).evaluate('getComputedStyle(document.body).backgroundColor');
    expect(await readBackground(true)).not.to.equal(await readBackground(false));
  });
});
