import { expect } from 'chai';
import { hasChromium } from '../helpers/chromium.ts';
import { describeOneWiring } from '../helpers/node.ts';
import {
  bundleForReact,
  loadServerFixture,
  openReactPage,
  type ReactTab,
  type ReactVersion,
  servePages,
} from '../helpers/react-pages.ts';
import { rest } from '../helpers/rest-client.ts';
import { admin } from '../helpers/revocations.ts';
import { createMember, createRoom, createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import type { TestUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const count = 1_000;
const versions = [18, 19] as const;

describeOneWiring('nano-messaging-client/react in Chromium', ({ url }) => {
  const served = new Map<ReactVersion, Awaited<ReturnType<typeof servePages>>>();
  let opened: ReactTab | undefined;

  before(async function () {
    this.timeout(300_000);
    if (!hasChromium()) this.skip();
    for (const version of versions) served.set(version, await servePages(await bundleForReact('page.tsx', version)));
  });

  afterEach(() => {
    const problems = opened?.problems;
    opened = undefined;
    expect(problems ?? []).to.deep.equal([]);
  });

  async function open(version: ReactVersion = 19) {
    const { owner, room } = await createRoomWithOwner(url(), { name: 'Launch' });
    opened = await openReactPage(served.get(version)!.url);
    const config = { url: url(), token: owner.token, user: owner.user, room: room.id, other: room.id };
    return { ...opened, owner, room, config };
  }

  /** Sends as the backend, in two commits. */
  async function sendMany(owner: TestUser, room: { id: number }): Promise<void> {
    for (const first of [1, count / 2 + 1]) {
      const messages = Array.from({ length: count / 2 }, (_, n) => ({ content: `m${first + n}`, emitter: owner.user }));
      const { status } = await admin(url()).post(`/admin/rooms/${room.id}/messages`, { messages });
      expect(status).to.equal(201);
    }
  }

  for (const version of versions)
    describe(`of React ${version}`, () => {
      it('makes one connection, one join and one inbox in the strict mode, for all components, and closes it', async () => {
        const { tab, call, counts, requests, config, owner, room } = await open(version);
        await sendMessages(url(), owner, room, 'one');
        await call('strict', config);
        await tab.getByText('connected, 0 typing, 1 here, 0 unread, 1 read').waitFor();
        await tab.getByText('Launch, rwa').waitFor();
        await tab.getByText('one', { exact: true }).waitFor();
        expect(counts()).to.deep.equal({ connections: 1, open: 1 });
        expect([requests('room:join'), requests('inbox:open'), requests('message:history')]).to.deep.equal([1, 1, 1]);
        await call('unmount');
        await waitUntil('the connection is closed', () => counts().open === 0);
        expect(counts().connections).to.equal(1);
      });

      it('connects once more for another user, and not for another token function', async () => {
        const { tab, call, counts, config, owner, room } = await open(version);
        const ben = await createMember(url(), owner, room);
        await call('strict', config);
        await tab.getByText('Launch, rwa').waitFor();
        await call('strict', config);
        await tab.evaluate('globalThis.first = page.client()');
        await call('strict', { ...config, token: ben.token, user: ben.user });
        await waitUntil('the first connection is closed', () => counts().connections === 2 && counts().open === 1);
        await tab.getByText('Launch, rw', { exact: true }).waitFor();
        expect(await tab.evaluate('[first.state, page.client().state]')).to.deep.equal(['closed', 'connected']);
      });

      it('connects and joins nothing for a Suspense that is never shown', async () => {
        const { tab, call, counts, requests, renders, config, owner } = await open(version);
        await call('suspendedProvider', config);
        await tab.getByText('waiting').waitFor();
        expect((await renders()).suspended).to.be.above(0);
        await call('unmount');
        const other = await createRoom(url(), owner, { name: 'Hangar' });
        await call('suspendedRoom', { ...config, other: other.id });
        await tab.getByText('waiting').waitFor();
        await tab.getByText('Hangar, rwa').waitFor();
        expect(counts().connections).to.equal(1);
        expect([requests('room:join'), requests('inbox:open')]).to.deep.equal([1, 0]);
      });

      it('renders the same on the server and while the page is hydrated, without a warning or a connection', async () => {
        const { owner, room } = await createRoomWithOwner(url(), { name: 'Launch' });
        await sendMessages(url(), owner, room, 'one');
        const config = { url: url(), token: owner.token, room: room.id, other: room.id };
        const html = (await loadServerFixture(version)).render(config, () =>
          expect.fail('the token function was called'),
        );
        expect(html).to.include('no room').and.include('no rights').and.include('connecting');
        const pages = served.get(version)!;
        pages.setHtml(html);
        opened = await openReactPage(pages.url);
        expect(await opened.tab.getByRole('heading').textContent()).to.equal('no room, no rights');
        await opened.call('hydrate', config);
        await opened.tab.getByText('Launch, rwa').waitFor();
        await opened.tab.getByText('one', { exact: true }).waitFor();
        await opened.tab.getByText('connected, 0 typing, 1 here, 0 unread, 1 read').waitFor();
        expect(opened.counts().connections).to.equal(1);
      });
    });

  it(`renders each of ${count} messages once, and after an edit only the one that has changed`, async function () {
    this.timeout(60_000);
    const { tab, call, renders, config, owner, room } = await open();
    await call('plain', config);
    await tab.getByText('Launch, rwa').waitFor();
    await sendMany(owner, room);
    await tab.getByText(`m${count}`, { exact: true }).waitFor();
    const rows = async () =>
      Object.entries(await renders()).flatMap(([name, times]) => (name.startsWith('row') ? [times] : []));
    expect(await rows()).to.deep.equal(Array(count).fill(1));
    await rest(url(), owner.token).patch(`/rooms/${room.id}/messages/500`, { content: 'edited' });
    await tab.getByText('edited', { exact: true }).waitFor();
    expect((await renders())['row 500']).to.equal(2);
    expect((await rows()).filter((times) => times === 1)).to.have.length(count - 1);
    const { header, messages } = await renders();
    expect(header, 'the header selects what no message changes').to.be.at.most(2);
    expect(messages, 'a burst of messages is rendered together').to.be.below(count / 2);
  });

  it('shows what is being sent, replies and the root of a thread', async () => {
    const { tab, call, config, owner, room } = await open();
    await sendMessages(url(), owner, room, 'the root');
    await call('thread', config, 1);
    await tab.getByText('the root:', { exact: true }).waitFor();
    await tab.evaluate(`{
      const room = page.client().room(${room.id});
      room.thread(1).send('a reply');
      room.send('to the room');
    }`);
    await tab.getByText('the root: a reply', { exact: true }).waitFor();
    await tab.getByText('to the room', { exact: true }).waitFor();
    expect(await tab.getByRole('listitem').allTextContents()).to.deep.equal(['the root', 'to the room']);
  });

  it('says that a hook needs a provider', async () => {
    const { tab, call, problems, config } = await open();
    await call('withoutProvider', config);
    await tab.getByText('need a <ChatProvider> above them').waitFor();
    expect(problems.splice(0).join()).to.include('ChatProvider');
  });
});
