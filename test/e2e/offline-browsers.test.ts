import { expect } from 'chai';
import type { BrowserContext } from 'playwright-core';
import { browserWindow, chromium, hasChromium } from '../helpers/chromium.ts';
import { closeAfterRun } from '../helpers/cleanup.ts';
import type { Json } from '../helpers/json.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { OfflinePage, type PageConfig, readDatabase, serveOfflinePages } from '../helpers/offline-pages.ts';
import { rest } from '../helpers/rest-client.ts';
import { createMember, createRoomWithOwner, sendMessages } from '../helpers/rooms.ts';
import { nodeProxy } from '../helpers/tcp-proxy.ts';
import type { TestUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

describeOneWiring('a client with a storage, in tabs of a browser', ({ url }) => {
  let pages: string;

  before(async function () {
    this.timeout(240_000);
    if (!hasChromium()) this.skip();
    await chromium();
    pages = await serveOfflinePages(closeAfterRun);
  });

  /** A room with two members, and the connection of one of them, which a test can cut. */
  async function createScene(...contents: string[]) {
    const { owner, room } = await createRoomWithOwner(url());
    const ada = await createMember(url(), owner, room);
    await sendMessages(url(), owner, room, ...contents);
    const proxy = await nodeProxy(url());
    const context = await browserWindow();
    const config: PageConfig = { url: proxy.url, token: ada.token, user: ada.user, room: room.id };
    const open = (...more: [init?: () => void, argument?: unknown]) =>
      OfflinePage.open(context, pages, config, ...more);
    return { owner, room, ada, proxy, context, config, open };
  }

  const pickState = ({ seq, content, version, deletedAt = null }: Json) => ({ seq, content, version, deletedAt });

  async function readMessages(person: TestUser, room: { id: number }): Promise<Json[]> {
    return (await rest(url(), person.token).get(`/rooms/${room.id}/messages?limit=200&tombstones=true`)).body.content;
  }

  async function readContents(person: TestUser, room: { id: number }): Promise<string[]> {
    return (await readMessages(person, room)).map(({ content }) => content);
  }

  /** The room and the inbox are stored, each in a transaction, after they are shown. */
  async function untilStored({ room, ada, context }: { room: Json; ada: TestUser; context: BrowserContext }) {
    const areStored = async () => {
      const keys = new Set((await readDatabase(context, pages, ada.user)).map(({ key }) => key));
      return keys.has(`room:${room.id}/position`) && keys.has(`inbox/${room.id}`);
    };
    await waitUntil('the room and the inbox are stored', areStored);
  }

  /** The service has these messages, the tabs show them, and nothing else is stored. */
  async function expectSame(
    { owner, room, ada, context }: { owner: TestUser; room: Json; ada: TestUser; context: BrowserContext },
    contents: string[],
    ...tabs: OfflinePage[]
  ): Promise<void> {
    const isSent = async () => (await readContents(owner, room)).length >= contents.length;
    await waitUntil('everything is sent', isSent);
    expect((await readContents(owner, room)).sort()).to.deep.equal([...contents].sort());
    contents = await readContents(owner, room);
    const rev = (await rest(url(), owner.token).get(`/rooms/${room.id}/messages?limit=1`)).body.meta.rev;
    for (const tab of tabs) await tab.caughtUp(contents);
    let stored: Json[] = [];
    const isStored = async () => {
      stored = await readDatabase(context, pages, ada.user);
      return stored.some(({ key, version }) => key === `room:${room.id}/position` && version === rev);
    };
    await waitUntil('everything is stored', isStored);
    const messages = stored
      .filter(({ key }) => key.startsWith(`room:${room.id}/message:`))
      .map(({ value }) => JSON.parse(value).message)
      .sort((a, b) => a.seq - b.seq);
    expect(messages.map(pickState)).to.deep.equal((await readMessages(owner, room)).map(pickState));
    expect(stored.filter(({ key }) => key.startsWith('outbox'))).to.deep.equal([]);
    for (const tab of tabs) expect(tab.problems).to.deep.equal([]);
  }

  it('stores messages once that were written offline, after a reload and a crash of the tab', async function () {
    this.timeout(60_000);
    const scene = await createScene('hello');
    const { proxy, open, owner, room } = scene;
    const tab = await open();
    await tab.caughtUp(['hello']);
    await untilStored(scene);
    proxy.cut();
    await tab.until('disconnected', ({ room }) => room === 'reconnecting');
    await tab.send('one', 'two', 'three');
    await tab.until('saved', ({ outbox }) => outbox.length === 3 && outbox.every(({ saved }) => saved));

    await tab.reload();
    const isRestored = ({ outbox, messages }: { outbox: Json[]; messages: Json[] }) =>
      outbox.length === 3 && messages.length === 1;
    const reloaded = await tab.until('restored', isRestored);
    expect(reloaded.outbox.map(({ content, state }) => `${content} ${state}`)).to.deep.equal(
      ['one', 'two', 'three'].map((content) => `${content} pending`),
    );
    expect([reloaded.client, reloaded.states]).to.deep.equal(['connecting', ['ok']]);
    expect(reloaded.inbox).to.deep.equal([{ id: room.id, last: 'hello' }]);

    await tab.crash();
    await sendMessages(url(), owner, room, 'meanwhile');
    const next = await open();
    await next.until('restored', isRestored);
    proxy.restore();
    const contents = ['hello', 'meanwhile', 'one', 'two', 'three'];
    await next.caughtUp(contents);
    await expectSame(scene, contents, next);
  });

  it('sends the messages of a crashed tab from another tab', async () => {
    const scene = await createScene();
    const { proxy, open } = scene;
    const [first, second] = [await open(), await open()];
    await Promise.all([first.caughtUp([]), second.caughtUp([])]);
    proxy.cut();
    await first.send('from the first');
    await second.send('from the second');
    await first.until('saved', ({ outbox }) => outbox[0]?.saved);
    await first.crash();
    await second.until('taken over', ({ outbox }) => outbox.length === 2);
    proxy.restore();
    await expectSame(scene, ['from the first', 'from the second'], second);
  });

  it('leaves both tabs and the database equal after one was frozen, in every order of reloads', async () => {
    const scene = await createScene('one', 'two');
    const { proxy, open, owner, room } = scene;
    const expected = ['one', 'two'];
    const [first, second] = [await open(), await open()];
    for (const [n, order] of [[first, second], [second, first], [second], [first]].entries()) {
      await Promise.all([first.caughtUp(expected), second.caughtUp(expected)]);
      await second.freeze();
      const contents = [`${n} live`, `${n} also live`];
      await rest(url(), owner.token).patch(`/rooms/${room.id}/messages/1`, { content: `${n} edited` });
      if (n === 1) await rest(url(), owner.token).delete(`/rooms/${room.id}/messages/2`);
      await sendMessages(url(), owner, room, contents[0]!);
      expected.splice(0, 2, `${n} edited`, n === 0 ? 'two' : '');
      expected.push(...contents);
      await first.caughtUp(expected.slice(0, -1));
      await first.send(contents[1]!);
      await first.caughtUp(expected);
      // What was written offline is saved before the tab that is behind comes back.
      proxy.cut();
      await first.send(`${n} offline`);
      expected.push(`${n} offline`);
      await first.until('saved', ({ outbox }) => outbox[0]?.saved);
      await second.freeze(false);
      for (const tab of order) await tab.reload();
      proxy.restore();
      await expectSame(scene, expected, first, second);
    }
  });

  it('shows nothing of another user, and sends nothing in their name', async () => {
    const { owner, room, context, config, open, proxy } = await createScene('secret');
    const ben = await createMember(url(), owner, room);
    const tab = await open();
    await tab.caughtUp(['secret']);
    proxy.cut();
    await tab.send('from Ada');
    await tab.until('saved', ({ outbox }) => outbox[0]?.saved);
    await tab.page.close();

    const other = await OfflinePage.open(context, pages, { ...config, token: ben.token, user: ben.user });
    const { messages, outbox, inbox } = await other.until('open', ({ states }) => states.length > 0);
    expect([messages, outbox, inbox]).to.deep.equal([[], [], []]);
    await other.page.close();
    proxy.restore();

    // The app has forgotten to change the user.
    const wrong = await OfflinePage.open(context, pages, { ...config, token: ben.token });
    const view = await wrong.until('refused', ({ client }) => client === 'unauthorized');
    expect(view.errors).to.deep.equal(['WRONG_USER']);
    await wrong.page.evaluate(`window.token = ${JSON.stringify(config.token)}; chat.connect()`);
    await wrong.caughtUp(['secret', 'from Ada']);
    expect((await readContents(owner, room)).length).to.equal(2);
  });

  it('deletes everything in all tabs on logout', async () => {
    const { ada, context, open, proxy } = await createScene('secret');
    const [first, second] = [await open(), await open()];
    await Promise.all([first.caughtUp(['secret']), second.caughtUp(['secret'])]);
    proxy.cut();
    await second.send('unsent');
    await second.until('saved', ({ outbox }) => outbox[0]?.saved);
    await first.page.evaluate('chat.logout()');
    const { outbox } = await second.until('closed', ({ client }) => client === 'closed');
    expect(outbox.map(({ code }) => code)).to.deep.equal(['CLOSED']);
    expect(await readDatabase(context, pages, ada.user)).to.deep.equal([]);
  });

  it('works although every call of IndexedDB fails, or each call of one kind', async () => {
    const failCalls = (failing: unknown) => {
      const global = globalThis as Json;
      const [type, name] = String(failing).split('.') as [string, string];
      global[type].prototype[name] = () => {
        throw new Error(`${failing} fails`);
      };
    };
    const { owner, room, open } = await createScene('hello');
    const kinds = ['IDBFactory.open', 'IDBDatabase.transaction', 'IDBObjectStore.getAll', 'IDBObjectStore.put'];
    for (const [n, kind] of kinds.entries()) {
      const tab = await open(failCalls as never, kind);
      await tab.until('joined', ({ room, messages }) => room === 'joined' && messages.length === n + 1);
      await tab.send(kind);
      await tab.until('sent', ({ messages, outbox }) => messages.length === n + 2 && !outbox[0]);
      // The first write may fail after the message has been sent.
      await tab.until('in memory', ({ states }) => states.at(-1) === 'memory');
      expect(tab.problems, kind).to.deep.equal([]);
      await tab.page.close();
    }
    expect(await readContents(owner, room)).to.deep.equal(['hello', ...kinds]);
  });

  it('writes all operations to IndexedDB or none, whichever call fails', async () => {
    const { open } = await createScene();
    const tab = await open();
    // The client of the page would make some of the calls that are counted.
    await tab.caughtUp([]);
    await tab.page.evaluate('chat.close()');
    // The script that runs in the page returns what went wrong.
    const outcome = (await tab.page.evaluate(async () => {
      const global = globalThis as Json;
      const { indexedDb } = global.nanoMessaging;
      let [calls, failing] = [0, 0];
      for (const [type, names] of Object.entries({
        IDBFactory: ['open', 'deleteDatabase'],
        IDBDatabase: ['transaction', 'createObjectStore'],
        IDBTransaction: ['objectStore'],
        IDBObjectStore: ['get', 'getAll', 'put', 'delete', 'clear'],
      }))
        for (const name of names) {
          const original = global[type].prototype[name];
          global[type].prototype[name] = function (this: unknown, ...args: unknown[]) {
            if (++calls === failing) throw new Error(`${type}.${name} fails`);
            return original.apply(this, args);
          };
        }
      const put = (key: string, value: string) => ({ put: { key, version: 1, value } });
      const read = async (storage: Json, user: string) => {
        const records: Json[] = [];
        await storage.open(user, (part: Json[]) => records.push(...part));
        return records.map(({ key, value }: Json) => `${key} ${value}`).join();
      };
      const wrong: string[] = [];
      let most = 1;
      for (let n = 0; n <= most; n++) {
        const user = `user-${n}`;
        const storage = indexedDb();
        [calls, failing] = [0, n];
        const rejected: string[] = [];
        const attempt = (name: string, promise: Promise<unknown>) => promise.catch(() => void rejected.push(name));
        await attempt('open', storage.open(user));
        await attempt('first', storage.write([put('a/1', 'one'), put('a/2', 'two'), put('b/1', 'three')], user));
        await attempt('second', storage.write([{ delete: 'a/' }, put('b/1', 'four'), put('b/2', 'five')], user));
        if (n === 0) most = calls + 5;
        failing = 0;
        const first = rejected.includes('first') ? '' : 'a/1 one,a/2 two,b/1 three';
        const expected = rejected.includes('second') ? first : 'b/1 four,b/2 five';
        const stored = await read(indexedDb(), user);
        if (stored !== expected) wrong.push(`${n}: ${stored} after ${rejected}`);
        [calls, failing] = [0, n];
        await attempt('clear', storage.clear(user));
        failing = 0;
        const left = await read(indexedDb(), user);
        if (left !== '' && !rejected.includes('clear')) wrong.push(`${n}: ${left} is left`);
      }
      const storage = indexedDb();
      const versions = [2, 1, 3];
      const stored: string[] = [];
      for (const version of versions) {
        await storage.write([{ put: { key: 'a/1', version, value: `version ${version}` } }], 'user');
        stored.push(await read(storage, 'user'));
      }
      return { wrong, most, stored };
    })) as { wrong: string[]; most: number; stored: string[] };
    expect(outcome.stored).to.deep.equal(['a/1 version 2', 'a/1 version 2', 'a/1 version 3']);
    expect(outcome.wrong).to.deep.equal([]);
    expect(outcome.most).to.be.within(15, 80);
  });

  it('works in memory while an older tab blocks an upgrade, and stores again after that', async () => {
    const { ada, open, context } = await createScene('hello');
    const old = await context.newPage();
    await old.goto(`${pages}empty`);
    await old.evaluate(`new Promise((resolve) => {
      const request = indexedDB.open('nano-messaging:${ada.user}', 1);
      request.onupgradeneeded = () => request.result.createObjectStore('records', { keyPath: 'key' });
      request.onsuccess = () => { window.database = request.result; resolve(); };
    })`);
    const upgrade = () => {
      const { prototype } = (globalThis as Json).IDBFactory;
      const { open } = prototype;
      prototype.open = function (this: unknown, name: string) {
        return open.call(this, name, 2);
      };
    };
    const tab = await open(upgrade as never);
    await tab.caughtUp(['hello']);
    expect((await tab.view()).states).to.deep.equal(['memory']);
    // The browser may close the databases of a page later than the page.
    await old.evaluate('database.close()');
    await old.close();
    await tab.reload();
    await tab.caughtUp(['hello']);
    expect((await tab.view()).states).to.deep.equal(['ok']);
    // A tab with the older version does not delete what the newer one has stored.
    const older = await open();
    await older.caughtUp(['hello']);
    expect((await older.view()).states).to.deep.equal(['memory']);
    await tab.page.evaluate('room.send("still stored")');
    await tab.caughtUp(['hello', 'still stored']);
    expect((await tab.view()).states).to.deep.equal(['ok']);
  });

  it('closes the database for an upgrade by another tab, and works in memory after that', async () => {
    const scene = await createScene('hello');
    const { ada, open, context, proxy } = scene;
    const tab = await open();
    await tab.caughtUp(['hello']);
    // A database that is being written would be closed after that, and block the upgrade until then.
    await untilStored(scene);
    const newer = await context.newPage();
    await newer.goto(`${pages}empty`);
    const outcome = await newer.evaluate(`new Promise((resolve) => {
      const request = indexedDB.open('nano-messaging:${ada.user}', 2);
      request.onblocked = () => resolve('blocked');
      request.onsuccess = () => { request.result.close(); resolve('open'); };
    })`);
    expect(outcome).to.equal('open');
    proxy.cut();
    await tab.send('a');
    const { states, outbox } = await tab.until('in memory', ({ states }) => states.length === 2);
    expect([states, outbox[0]!.saved]).to.deep.equal([['ok', 'memory'], false]);
    proxy.restore();
    await tab.caughtUp(['hello', 'a']);
  });

  it('works when the quota of the browser is reached, and says so', async () => {
    const { owner, room, open, proxy, context } = await createScene('hello');
    // Before the first write, because Chromium remembers for a while how much space is left.
    const session = await context.newCDPSession(await context.newPage());
    const origin = new URL(pages).origin;
    await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 1_000 });
    const tab = await open();
    await tab.caughtUp(['hello']);
    await tab.until('full', ({ states }) => states.length === 2);
    proxy.cut();
    await tab.send('a');
    const { states, outbox } = await tab.view();
    expect([states, outbox.map(({ saved }) => saved)]).to.deep.equal([['ok', 'full'], [false]]);
    await session.send('Storage.overrideQuotaForOrigin', { origin });
    await tab.send('b');
    await tab.until('saved', ({ outbox }) => outbox.length === 2 && outbox.every(({ saved }) => saved));
    proxy.restore();
    await tab.caughtUp(['hello', 'a', 'b']);
    await tab.until('stored again', ({ states }) => states.at(-1) === 'ok');
    expect(await readContents(owner, room)).to.have.length(3);
  });
});
