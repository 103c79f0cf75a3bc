import { expect } from 'chai';
import type { BrowserContextOptions, Locator, Page } from 'playwright-core';
import { violations } from './axe.ts';
import { browserWindow } from './chromium.ts';
import type { TcpProxy } from './tcp-proxy.ts';
import { waitUntil } from './wait-until.ts';

/** One person in examples/react, in their own browser. */
class Person {
  readonly page: Page;
  readonly problems: string[] = [];

  constructor(page: Page) {
    this.page = page;
    page.setDefaultTimeout(30_000);
    page.on('pageerror', ({ message }) => this.problems.push(message));
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) this.problems.push(message.text());
    });
  }

  static async signIn(url: string, name: string, options: BrowserContextOptions = {}): Promise<Person> {
    const context = await browserWindow({ locale: 'en-GB', reducedMotion: 'reduce', ...options });
    const person = new Person(await context.newPage());
    await person.page.goto(url);
    await person.button(name).click();
    return person;
  }

  button(name: string | RegExp): Locator {
    return this.page.getByRole('button', { name });
  }

  /** The room, or the thread below a message. */
  pane(title: string): Locator {
    return this.page.getByRole('region', { name: title, exact: true });
  }

  message(text: string, pane = 'Launch'): Locator {
    return this.pane(pane).getByRole('article').filter({ hasText: text });
  }

  async act(text: string, action: string): Promise<void> {
    await this.message(text).hover();
    await this.message(text).getByRole('button', { name: action, exact: true }).click();
  }

  async send(text: string, pane = 'Launch'): Promise<void> {
    await this.pane(pane).getByRole('textbox', { name: 'Message' }).fill(text);
    await this.pane(pane).getByRole('button', { name: 'Send' }).click();
  }
}

/** Waits until the browser has stored an unsent message, which it does shortly after it is shown. */
async function untilSaved({ page }: Person): Promise<void> {
  const isSaved = `(async () => {
    const { name } = (await indexedDB.databases()).find(({ name }) => name.startsWith('nano-messaging:'));
    const database = await new Promise((resolve, reject) => {
      const request = indexedDB.open(name);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    const keys = await new Promise((resolve, reject) => {
      const request = database.transaction('records').objectStore('records').getAllKeys();
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    database.close();
    return keys.some((key) => key.startsWith('outbox:'));
  })()`;
  await waitUntil('the message is saved', () => page.evaluate(isSaved));
}

/** Two people use everything that examples/react can do, also with a reload without a connection. `network` is between them and the service. */
export async function chatInReact(url: string, network: TcpProxy): Promise<void> {
  const ada = await Person.signIn(url, 'Ada');
  const ben = await Person.signIn(url, 'Ben', { colorScheme: 'dark' });
  for (const { page } of [ada, ben]) await page.getByRole('button', { name: /^Launch/ }).click();
  await ben.pane('Launch').getByText('2 here').waitFor();

  await ada.pane('Launch').getByRole('textbox', { name: 'Message' }).pressSequentially('Is');
  await ben.pane('Launch').getByText('Ada typing…').waitFor();
  await ada.send('Is the telemetry green?');
  await ben.message('Is the telemetry green?').waitFor();
  await ben.send('All green');
  await ada.act('All green', 'React with 👍');
  await ben.message('All green').getByRole('button', { name: '👍 1', pressed: false }).click();
  await ada.message('All green').getByRole('button', { name: '👍 2', pressed: true }).waitFor();

  await ben.act('All green', 'Edit');
  await ben.page.getByRole('textbox', { name: 'Edit' }).fill('All green since six');
  await ben.button('Save').click();
  await ada
    .message('All green since six')
    .getByText(/^Ben, .*, edited$/)
    .waitFor();
  await ben.act('All green since six', 'Edit');
  await ben.page.getByRole('textbox', { name: 'Edit' }).fill('x'.repeat(9_000));
  await ben.button('Save').click();
  await ben.message('All green since six').getByRole('alert').getByText('at most 8192').waitFor();
  await ben.send('Forget this');
  await ben.act('Forget this', 'Delete');
  await ada.message('Deleted').waitFor();
  expect(await ada.message('Deleted').getByRole('button').count()).to.equal(0);

  await ben.act('Is the telemetry green?', 'Reply');
  await ben.send('Why do you ask?', 'Thread');
  await ada.message('Is the telemetry green?').getByRole('button', { name: 'Replies: 1' }).click();
  await ada.message('Why do you ask?', 'Thread').waitFor();
  expect(await ada.message('Why do you ask?').count()).to.equal(0);

  await ada.button(/^Kitchen/).click();
  await ada.send('Who took my cup?', 'Kitchen');
  await ben.button(/^Kitchen 1 unread Ada: Who took my cup\?/).click();
  await ben.message('Who took my cup?', 'Kitchen').waitFor();
  await ben.button(/^Kitchen Ada: Who took my cup\?/).waitFor();
  for (const person of [ada, ben]) await person.button(/^Launch/).click();
  await ben.message('All green since six').waitFor();
  for (const person of [ada, ben]) expect(await violations(person.page)).to.deep.equal([]);
  for (const person of [ada, ben]) expect(person.problems).to.deep.equal([]);

  network.cut();
  await ben.page.getByRole('status').getByText('Offline').waitFor();
  await ben.send('From the tunnel');
  await ben.message('From the tunnel').getByText('sending…').waitFor();
  await untilSaved(ben);
  await ben.page.reload();
  await ben.button(/^Launch/).click();
  await ben.message('All green since six').waitFor();
  await ben.message('From the tunnel').getByText('sending…').waitFor();
  network.restore();
  await ada.message('From the tunnel').waitFor();
  await ben.message('From the tunnel').getByText('sending…').waitFor({ state: 'detached' });
  expect(await ben.message('From the tunnel').count()).to.equal(1);

  const [room, secondTab] = [ada.pane('Launch'), await ada.page.context().newPage()];
  await secondTab.goto(url);
  await secondTab.getByRole('button', { name: 'Sign out' }).click();
  await room.waitFor({ state: 'detached' });
  await ada.page.getByRole('heading', { name: 'Who are you?' }).waitFor();
  expect(await violations(ada.page)).to.deep.equal([]);
}
