import { createServer, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { expect } from 'chai';
import type { Locator } from 'playwright-core';
import { violations } from '../helpers/axe.ts';
import { browserWindow, chromium } from '../helpers/chromium.ts';
import { closeLater } from '../helpers/cleanup.ts';
import { embedded, startNode } from '../helpers/node.ts';
import { createPerson, loadSample, openPlayground, type Playground } from '../helpers/playground.ts';
import { dataDirectory } from '../helpers/process.ts';
import { createRoom, sendMessages } from '../helpers/rooms.ts';
import { createUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const shown = { state: 'visible' } as const;

/** What a test uses of a field in the page; the types of the DOM are not loaded here. */
interface Field {
  value: string;
  form: { requestSubmit(): void };
  click(): void;
}

const phone = { viewport: { width: 390, height: 844 } };

describe('the playground in Chromium', () => {
  let url: string;
  /** Includes the key of the page. */
  let link: string;
  let opened: Playground[] = [];
  let shared: { playground: Playground; samples: number } | undefined;

  before(async function () {
    this.timeout(300_000);
    const started = startNode(embedded, { JWT_SECRET: undefined }, (config) => ({
      ...config,
      dataDirectory: dataDirectory(),
    }));
    const [node] = await Promise.all([started, chromium()]);
    url = node.url;
    link = node.playgroundUrl!;
    // Shared, because loading the page takes most of the time.
    shared = { playground: await openPlayground(link), samples: 0 };
  });

  /** A new room for the same people in the same window. After a failure, each test has a window for itself. */
  async function sample(): Promise<Playground> {
    if (!shared) {
      const playground = await open(link);
      await loadSample(playground);
      return playground;
    }
    const n = ++shared.samples;
    opened.push(shared.playground);
    // The frames of earlier tests would slow down each search for an element.
    if (n > 1) await shared.playground.page.getByRole('button', { name: 'Clear' }).click();
    await loadSample(shared.playground, n === 1 ? 'Launch day' : `Launch day ${n}`);
    return shared.playground;
  }

  async function open(...how: Parameters<typeof openPlayground>): Promise<Playground> {
    const playground = await openPlayground(...how);
    opened.push(playground);
    return playground;
  }

  afterEach(function () {
    if (this.currentTest?.isFailed()) shared = undefined;
    const problems = opened.flatMap((playground) => playground.problems.splice(0));
    opened = [];
    expect(problems).to.deep.equal([]);
  });

  it('lets two people chat after a click on the sample, and shows the conversation again after a reload', async () => {
    const { page, pane, messages, send } = await sample();
    await pane('Ada').getByText('connected', { exact: true }).waitFor(shown);
    await send('Ada', 'Hello Ben\nin two lines 🚀');
    await messages('Ben').getByText('in two lines 🚀').waitFor(shown);
    await send('Ben', '<b>Hello</b> Ada');
    await messages('Ada').getByText('<b>Hello</b> Ada').waitFor(shown);
    await messages('Ben').locator('.own', { hasText: '<b>Hello</b> Ada' }).getByText('sent').waitFor();
    await pane('Ada').getByText('rev 9').first().waitFor(shown);
    expect(await messages('Ada').locator('.message').count()).to.equal(7);
    await page.reload();
    await messages('Ada').getByText('<b>Hello</b> Ada').waitFor(shown);
    await messages('Ben').getByText('in two lines 🚀').waitFor(shown);
  });

  it('asks for the link from the terminal if its key is missing or wrong, and removes the key from the address', async () => {
    const { page } = await open(`${url}/`);
    const missing = page.getByRole('heading', { name: 'Open the link printed in the terminal' });
    const welcome = page.getByRole('button', { name: 'Load a sample' });
    await missing.waitFor(shown);
    expect(await welcome.count()).to.equal(0);
    await page.goto(link);
    await welcome.waitFor(shown);
    expect(page.url()).to.equal(`${url}/`);
    await page.reload();
    await welcome.waitFor(shown);
    const wrong = await open(`${url}/#key=${'x'.repeat(43)}`);
    await wrong.page.getByRole('button', { name: 'Load a sample' }).click();
    await wrong.page.getByRole('heading', { name: 'Open the link printed in the terminal' }).waitFor(shown);
    // The browser reports the failed request with the wrong key.
    await waitUntil('the failed request is reported', () => wrong.problems.length > 0);
    await wrong.page.close();
    expect(wrong.problems.splice(0).join()).to.include('404');
  });

  it('scrolls long conversations in their panes, and never the page itself', async () => {
    const { page, pane, messages, send } = await sample();
    const room = await pane('Ada').getByRole('heading', { level: 3 }).textContent();
    expect(room).to.be.a('string');
    for (let n = 0; n < 5; n++)
      await send('Ada', Array.from({ length: 12 }, (_, line) => `Line ${n}.${line}`).join('\n'));
    await messages('Ben').getByText('Line 4.11').waitFor(shown);
    for (const name of ['Ada', 'Ben']) {
      const overflow = await messages(name).evaluate((log) => log.scrollHeight - log.clientHeight);
      expect(overflow, name).to.be.above(200);
    }
    expect(await page.evaluate('document.documentElement.scrollHeight')).to.equal(800);
  });

  it('has a single Tab stop for all frames of the console, and moves between frames with the arrow keys', async () => {
    const { page } = await sample();
    const frames = page.getByRole('log', { name: 'Frames' });
    await frames.locator('summary').nth(2).waitFor();
    expect(await frames.locator('summary:not([tabindex="-1"])').count()).to.equal(0);
    await frames.focus();
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('Enter');
    const focused = 'document.activeElement.closest("details")';
    expect(await page.evaluate(`${focused}.open`)).to.equal(true);
    expect(await page.evaluate(`${focused}.nextElementSibling?.localName`)).to.equal('details');
    await page.keyboard.press('ArrowDown');
    // Not compared with the last frame: frames may have arrived meanwhile.
    expect(await page.evaluate(`${focused}.previousElementSibling.open`)).to.equal(true);
  });

  it('shows a ban to the banned person, who cannot write, and the missed messages after the ban is lifted', async () => {
    const { pane, messages, send } = await sample();
    await pane('Ada').getByRole('button', { name: 'Members' }).click();
    const rule = pane('Ada').getByRole('listitem', { name: 'Ben' });
    await rule.getByRole('button', { name: 'Ban Ben' }).click();
    await pane('Ben').getByRole('alert').getByText('You have been banned').waitFor(shown);
    await pane('Ben').getByText('removed', { exact: true }).waitFor(shown);
    await pane('Ben').getByRole('navigation').getByText('banned').waitFor(shown);
    await rule.getByText('banned').waitFor(shown);
    expect(await pane('Ben').getByLabel('Message as Ben').isDisabled()).to.equal(true);
    expect(await pane('Ben').getByRole('button', { name: 'Send' }).isDisabled()).to.equal(true);

    await pane('Ada').getByRole('button', { name: 'Chat' }).click();
    await send('Ada', 'Ben does not see this yet');
    await messages('Ada').getByText('Ben does not see this yet').waitFor(shown);
    await messages('Ada').getByText('Ben was banned').waitFor(shown);
    expect(await messages('Ben').getByText('Ben does not see this yet').count()).to.equal(0);

    await pane('Ada').getByRole('button', { name: 'Members' }).click();
    await rule.getByRole('button', { name: 'Unban Ben' }).click();
    await pane('Ben').getByText('You can join again').waitFor(shown);
    await pane('Ben').getByRole('button', { name: 'Join again' }).click();
    await messages('Ben').getByText('Ben does not see this yet').waitFor(shown);
    await send('Ben', 'Back again');
    await pane('Ada').getByRole('button', { name: 'Chat' }).click();
    await messages('Ada').getByText('Back again').waitFor(shown);
  });

  it('takes a person offline, and delivers the messages of both sides when they are online again', async () => {
    const { pane, messages, send } = await sample();
    await pane('Ben').getByRole('switch', { name: 'Offline' }).check({ force: true });
    await pane('Ben').getByRole('status').getByText('offline').waitFor(shown);
    await send('Ada', 'Written while Ben was offline');
    await messages('Ada').locator('.own', { hasText: 'while Ben was offline' }).getByText('sent').waitFor();
    await send('Ben', 'Written without a connection');
    await messages('Ben').locator('.pending', { hasText: 'Written without' }).waitFor(shown);
    expect(await messages('Ben').getByText('Written while Ben was offline').count()).to.equal(0);
    await pane('Ben').getByRole('switch', { name: 'Offline' }).uncheck({ force: true });
    await messages('Ben').getByText('Written while Ben was offline').waitFor(shown);
    await messages('Ada').getByText('Written without a connection').waitFor(shown);
  });

  it('applies changed rights at once, and sends a failed message again', async () => {
    const { pane, messages } = await sample();
    // In one task, so that the message is written before the browser reports the end of the connection.
    await pane('Ben').evaluate((element) => {
      const find = (selector: string) => element.querySelector(selector) as unknown as Field;
      find('[role=switch]').click();
      const field = find('.composer textarea');
      field.value = 'May I?';
      field.form.requestSubmit();
    });
    await messages('Ben').locator('.pending', { hasText: 'May I?' }).waitFor(shown);
    await pane('Ada').getByRole('button', { name: 'Members' }).click();
    const rule = pane('Ada').getByRole('listitem', { name: 'Ben' });
    const write = rule.getByRole('button', { name: 'Write', pressed: true });
    await write.click();
    await write.waitFor({ state: 'detached' });
    await pane('Ben').getByRole('switch', { name: 'Offline' }).uncheck({ force: true });
    const failed = messages('Ben').locator('.failed', { hasText: 'May I?' });
    await failed.getByText('Not sent. Your rights do not allow this.').waitFor(shown);
    expect(await pane('Ben').getByPlaceholder('You may only read here').isDisabled()).to.equal(true);
    await rule.getByRole('button', { name: 'Write' }).click();
    await pane('Ben').getByText('read and write', { exact: true }).waitFor(shown);
    await failed.getByRole('button', { name: 'Retry' }).click();
    await pane('Ada').getByRole('button', { name: 'Chat' }).click();
    await messages('Ada').getByText('May I?').waitFor(shown);
  });

  it('reconnects a person with a new token and other rights after their level changes', async () => {
    const { page, pane, messages } = await sample();
    await pane('Ben').getByText('read and write', { exact: true }).waitFor(shown);
    const setLevel = async (level: string) => {
      await page.getByRole('button', { name: 'People' }).click();
      const dialog = page.getByRole('dialog', { name: 'People' });
      await dialog.getByRole('button', { name: 'Change Ben' }).click();
      await dialog.getByRole('form', { name: 'Change Ben' }).getByLabel('Level').fill(level);
      await dialog.getByRole('button', { name: 'Save' }).click();
      await page.keyboard.press('Escape');
    };
    await setLevel('100');
    await pane('Ben').getByText('administer', { exact: true }).waitFor(shown);
    await messages('Ben').getByText('until lift-off').waitFor(shown);
    await setLevel('10');
    await pane('Ben').getByText('read and write', { exact: true }).waitFor(shown);
  });

  it('shows an invitation that the invited person accepts, and creates a private room for two', async () => {
    const { page, pane, messages, send } = await sample();
    await pane('Ada').getByRole('button', { name: 'Members' }).click();
    await pane('Ada').getByLabel('User or organisation').selectOption('Cleo');
    await pane('Ada').getByRole('button', { name: 'Invite' }).click();
    await pane('Ada').getByRole('listitem', { name: 'Cleo' }).getByText('invited').waitFor(shown);
    await pane('Ben').getByLabel('Right person').selectOption('Cleo');
    await pane('Cleo').getByRole('button', { name: 'Accept' }).click();
    await messages('Cleo').getByText('until lift-off').waitFor(shown);
    await pane('Ada').getByRole('listitem', { name: 'Cleo' }).getByText('joined').waitFor(shown);

    await pane('Ada').getByRole('button', { name: 'New room' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Private').check();
    await dialog.getByLabel('With').selectOption('Cleo');
    await dialog.getByRole('button', { name: 'Create the room' }).click();
    await pane('Ada').getByRole('heading', { name: 'Ada & Cleo' }).waitFor(shown);
    await pane('Cleo')
      .getByRole('button', { name: /Ada & Cleo/ })
      .click();
    await send('Cleo', 'Just the two of us');
    await messages('Ada').getByText('Just the two of us').waitFor(shown);
  });

  it('loads history on scrolling up, and keeps the visible messages in place', async () => {
    const { page, messages, pane } = await open(link);
    const dora = await createPerson(link, { level: 100 });
    const room = await createRoom(url, dora);
    await sendMessages(url, dora, room, ...Array.from({ length: 330 }, (_, n) => `Message ${n + 1}`));
    await addPerson(page.getByRole('button', { name: 'People' }), { name: 'Dora', id: dora.user });
    await pane('Dora')
      .getByRole('button', { name: new RegExp(room.name) })
      .click();
    const log = messages('Dora');
    const message = (n: number) => log.getByText(`Message ${n}`, { exact: true });
    await message(330).waitFor(shown);
    expect(await message(30).count()).to.equal(0);

    const top = () => log.evaluate((element) => element.scrollTo(0, 0));
    await top();
    await message(225).waitFor({ state: 'attached' });
    const [box, kept] = [await log.boundingBox(), await message(231).boundingBox()];
    expect(kept!.y, 'position of the message that was at the top').to.be.within(box!.y, box!.y + 300);
    for (let n = 231; n > 1; n -= 10) {
      await top();
      await message(Math.max(1, n)).waitFor({ state: 'attached' });
    }
    await message(1).waitFor({ state: 'attached' });
    await log.getByText('This is the beginning of the room').waitFor({ state: 'attached' });
    // Only a part of a long conversation is rendered.
    expect(await log.locator('.message').count()).to.be.at.most(280);
    expect(await message(330).count()).to.equal(0);
    await log.getByRole('button', { name: 'Latest' }).click();
    await message(330).waitFor(shown);
    expect(await atEnd(log)).to.equal(true);
    expect(await message(1).count()).to.equal(0);
  });

  it('shows the client code for the open room, and links to the API reference', async () => {
    const { page, pane } = await sample();
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write'], { origin: url });
    await pane('Ben').getByRole('button', { name: 'Code', exact: true }).click();
    await pane('Ben').getByRole('button', { name: 'Copy' }).click();
    await pane('Ben').getByText('Copied').waitFor(shown);
    const copied = String(await page.evaluate('navigator.clipboard.readText()'));
    expect(copied)
      .to.match(/^import \{ connect \} from 'nano-messaging-client';/)
      .and.include(`url: '${url}'`);
    expect(copied).to.match(/chat\.room\(\d+\)/);
    expect(await page.getByRole('link', { name: 'API', exact: true }).getAttribute('href')).to.equal('docs');
  });

  it('loads three compressed files besides its icon', async () => {
    const page = await (await browserWindow()).newPage();
    const encodings = new Map<string, string | undefined>();
    page.on('response', (response) =>
      encodings.set(new URL(response.url()).pathname, response.headers()['content-encoding']),
    );
    await page.goto(link);
    await page.getByRole('button', { name: 'Load a sample' }).waitFor(shown);
    encodings.delete('/playground/icon.svg');
    const paths = ['/', '/playground/page.js', '/playground/style.css'];
    expect(Object.fromEntries(encodings)).to.deep.equal(Object.fromEntries(paths.map((path) => [path, 'gzip'])));
  });

  it('has no accessibility violation that axe finds, in the views of a room and in the dialog', async function () {
    this.timeout(60_000);
    const { page, pane } = await sample();
    // The frames of all tests before take axe long.
    await page.getByRole('button', { name: 'Clear' }).click();
    for (const tab of ['Members', 'Code', 'Chat']) {
      await pane('Ada').getByRole('button', { name: tab }).click();
      expect(await violations(page), tab).to.deep.equal([]);
    }
    await page.getByRole('button', { name: 'People' }).click();
    expect(await violations(page), 'People').to.deep.equal([]);
    await page.keyboard.press('Escape');
  });

  it('shows the frames of both transports in the console, and sends typed frames to /chat', async () => {
    const { page } = await sample();
    const frames = page.getByRole('log', { name: 'Frames' });
    await frames.getByText('room:join').first().waitFor(shown);
    await frames.locator('.frame.in', { hasText: 'message:new' }).first().waitFor();
    await frames.locator('.frame.out', { hasText: 'read:mark' }).first().waitFor();
    const raw = page.getByRole('region', { name: 'Raw /chat' });
    const command = async (name: string) => {
      await raw.getByRole('button', { name, exact: true }).click();
      await raw.getByRole('textbox', { name: 'Command' }).press('Enter');
    };
    await raw.getByRole('button', { name: 'Connect', exact: true }).click();
    await frames.getByText('START?', { exact: true }).waitFor(shown);
    await command('token');
    await frames.getByText('READY', { exact: true }).waitFor(shown);
    await command('select_room');
    await frames.getByText('CONNECTED', { exact: true }).waitFor(shown);
    await command('message');
    await page.getByRole('log', { name: 'Messages' }).first().getByText('Hello from /chat').waitFor(shown);
    await raw.getByRole('textbox', { name: 'Command' }).fill('{');
    await raw.getByRole('button', { name: 'Send' }).click();
    await frames.getByText('BADJSON', { exact: true }).waitFor(shown);
    await raw.getByText('Closed with 4400: Not JSON').waitFor(shown);
    // Tokens are shortened, and a click on a frame shows all of it.
    expect(await frames.textContent()).to.not.match(/eyJ[\w-]+\.[\w-]+\.[\w-]+/);
    await frames.getByText('CONNECTED', { exact: true }).click();
    await frames.getByText('"recovered": false').last().waitFor(shown);
    const filter = page.getByRole('button', { name: '/chat', exact: true });
    await filter.click();
    expect(await frames.getByText('BADJSON').count()).to.equal(0);
    await filter.click();
  });

  it('shows one pane at a time at a width of 390 px, and nothing wider than the screen', async () => {
    const { page, pane, showPane, send, messages } = await open(link, { ...phone, hasTouch: true, isMobile: true });
    await loadSample({ page, pane } as Playground);
    expect(await pane('Ada').isVisible()).to.equal(true);
    expect(await pane('Ben').isVisible()).to.equal(false);
    await showPane('Ben');
    expect(await pane('Ada').isVisible()).to.equal(false);
    await send('Ben', 'From a phone');
    await messages('Ben').getByText('From a phone').waitFor(shown);
    await pane('Ben').getByRole('button', { name: 'Back to the rooms' }).click();
    await pane('Ben')
      .getByRole('button', { name: /Launch day/ })
      .click();
    await showPane('Ada');
    await messages('Ada').getByText('From a phone').waitFor(shown);
    await pane('Ada').getByRole('button', { name: 'Members' }).click();
    for (const place of ['Ada', 'Ben', 'Console']) {
      await showPane(place);
      expect(await page.evaluate('document.documentElement.scrollWidth'), place).to.equal(390);
    }
    await page.getByRole('log', { name: 'Frames' }).waitFor(shown);
  });

  it('sends with Enter, starts a new line with Shift+Enter, and closes dialogs with Esc, which restores the focus', async () => {
    const { page, pane, messages } = await sample();
    const field = pane('Ada').getByLabel('Message as Ada');
    await field.focus();
    await page.keyboard.type('One');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('Two');
    expect(await field.inputValue()).to.equal('One\nTwo');
    await page.keyboard.press('Enter');
    await messages('Ben').getByText('One Two').waitFor(shown);
    expect(await field.inputValue()).to.equal('');
    const people = page.getByRole('button', { name: 'People' });
    await people.focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: 'People' }).waitFor(shown);
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(await people.evaluate((element) => element === element.ownerDocument.activeElement)).to.equal(true);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    expect(await page.evaluate('document.documentElement.dataset.theme')).to.equal('dark');
  });

  it('has a text contrast of at least 4.5:1 in both themes', async () => {
    const { page, pane } = await sample();
    await pane('Ada').getByRole('button', { name: 'Members' }).click();
    await pane('Ada').getByRole('button', { name: 'Ban Ben' }).click();
    await pane('Ben').getByText('You have been banned').waitFor(shown);
    await page.getByRole('button', { name: 'Clear' }).click();
    await pane('Ada').getByRole('button', { name: 'Unban Ben' }).waitFor(shown);
    for (let theme = 0; theme < 2; theme++) {
      await page.getByRole('button', { name: /^Switch to the/ }).click();
      expect(await page.evaluate(faintTexts)).to.deep.equal([]);
      await page.getByRole('button', { name: 'People' }).click();
      expect(await page.evaluate(faintTexts)).to.deep.equal([]);
      await page.keyboard.press('Escape');
    }
  });

  it('accepts pasted tokens if the server issues none', async () => {
    const eva = createUser({ level: 100 });
    const configured = await startNode(embedded, { PLAYGROUND: 'on' });
    const { page, pane, messages, send } = await open(configured.playgroundUrl!);
    expect(await page.getByRole('button', { name: 'Load a sample' }).count()).to.equal(0);
    await page.getByText('npm run token').waitFor(shown);
    await page.getByRole('button', { name: 'Add a person with a token' }).click();
    const form = page.getByRole('form', { name: 'New person' });
    await form.getByLabel('Name').fill('Eva');
    await form.getByLabel('Token').fill(eva.token);
    expect(await form.getByLabel('UUID').inputValue()).to.equal(eva.user);
    await form.getByRole('button', { name: 'Add the person' }).click();
    await page.keyboard.press('Escape');
    await pane('Eva').getByText('connected', { exact: true }).waitFor(shown);
    await pane('Eva').getByRole('button', { name: 'New room' }).click();
    await page.getByRole('dialog').getByLabel('Name').fill('With a token');
    await page.getByRole('dialog').getByRole('button', { name: 'Create the room' }).click();
    await pane('Eva').getByText('administer', { exact: true }).waitFor(shown);
    await send('Eva', 'The token works');
    await messages('Eva').getByText('The token works').waitFor(shown);
  });

  it('works behind a proxy that mounts the service under a path', async () => {
    const { page, pane, messages, send } = await open(`${await mountedAt('/messaging', url)}/${new URL(link).hash}`);
    await loadSample({ page, pane } as Playground);
    await pane('Ada').getByText('connected', { exact: true }).waitFor(shown);
    await send('Ada', 'Below a path');
    await messages('Ben').getByText('Below a path').waitFor(shown);
  });
});

async function addPerson(people: Locator, { name, id }: { name: string; id: string }): Promise<void> {
  const page = people.page();
  await people.click();
  const form = page.getByRole('form', { name: 'New person' });
  await form.getByLabel('Name').fill(name);
  await form.getByLabel('UUID').fill(id);
  await form.getByRole('button', { name: 'Add the person' }).click();
  await page.keyboard.press('Escape');
}

const atEnd = (log: Locator): Promise<boolean> =>
  log.evaluate((element) => element.scrollHeight - element.scrollTop - element.clientHeight < 2);

/** A proxy that removes the prefix, and adds no headers. */
async function mountedAt(prefix: string, url: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const below = (path = '') => (path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : '/nowhere');
  const proxy = createServer((incoming, response) => {
    const { method, headers } = incoming;
    const forwarded = request({ host: hostname, port, method, headers, path: below(incoming.url) }, (upstream) => {
      response.writeHead(upstream.statusCode!, upstream.headers);
      upstream.pipe(response);
    });
    // A page that is closed breaks off its requests.
    response.on('close', () => forwarded.destroy());
    forwarded.on('error', () => response.destroy());
    incoming.pipe(forwarded);
  });
  proxy.on('upgrade', (incoming, socket) => {
    const upstream = connect(Number(port), hostname);
    const headers = Object.entries(incoming.headers).map(([name, value]) => `${name}: ${value}\r\n`);
    upstream.write(`GET ${below(incoming.url)} HTTP/1.1\r\n${headers.join('')}\r\n`);
    socket.pipe(upstream).pipe(socket);
    for (const end of [socket, upstream]) end.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  closeLater(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}${prefix}`;
}

/** Runs in the page, and lists texts whose contrast with their background is too low. */
const faintTexts = `(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const known = new Map();
  const remembered = (key, make) => known.get(key) ?? known.set(key, make()).get(key);
  const rgba = (color) => remembered(color, () => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return { r, g, b, a: a / 255 };
  });
  const over = (top, under) => {
    const mix = (name) => top[name] * top.a + under[name] * (1 - top.a);
    return { r: mix('r'), g: mix('g'), b: mix('b'), a: 1 };
  };
  const light = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const white = { r: 255, g: 255, b: 255, a: 1 };
  const ground = (element) => element
    ? remembered(element, () => over(rgba(getComputedStyle(element).backgroundColor), ground(element.parentElement)))
    : white;
  const texts = [...document.querySelectorAll('body *')].filter((element) =>
    element.checkVisibility({ visibilityProperty: true }) &&
    !element.closest(':disabled, .unseen, option, noscript') &&
    [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== ''));
  if (texts.length < 30) return ['too few texts found: ' + texts.length];
  return texts.flatMap((element) => {
    const under = ground(element);
    const [a, b] = [light(over(rgba(getComputedStyle(element).color), under)), light(under)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    return ratio < 4.5 ? [element.textContent.trim().slice(0, 40) + ' ' + ratio.toFixed(2)] : [];
  });
})()`;
