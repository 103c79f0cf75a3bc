import type { BrowserContextOptions, Locator, Page } from 'playwright-core';
import { browserWindow } from './chromium.ts';
import { rest } from './rest-client.ts';
import { createUser, type TestUser, withClaims } from './users.ts';

export interface Playground {
  page: Page;
  /** The pane of the person with this name. */
  pane(name: string): Locator;
  messages(name: string): Locator;
  /** Sends a message from the pane of the person with this name. */
  send(name: string, text: string): Promise<void>;
  /** Switches to another pane on a narrow screen. */
  showPane(place: string): Promise<void>;
  /** Errors and warnings of the browser, and requests to other servers. */
  problems: string[];
}

/** Opens the page in a new window without stored data. The URL includes the key of the page. */
export async function openPlayground(url: string, options: BrowserContextOptions = {}): Promise<Playground> {
  const context = await browserWindow({
    ...{ viewport: { width: 1280, height: 800 }, locale: 'en-GB', reducedMotion: 'reduce' },
    ...options,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const problems: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) problems.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => problems.push(`error: ${error.message}`));
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) problems.push(`request: ${request.url()}`);
  });
  page.on('websocket', (socket) => {
    if (new URL(socket.url()).host !== new URL(url).host) problems.push(`request: ${socket.url()}`);
  });
  await page.goto(url);
  const pane = (name: string) => page.getByRole('region', { name: `${name}’s pane` });
  return {
    page,
    pane,
    messages: (name) => pane(name).getByRole('log', { name: 'Messages' }),
    async send(name, text) {
      const field = pane(name).getByLabel(`Message as ${name}`);
      await field.fill(text);
      await field.press('Enter');
    },
    showPane: (place) => page.getByRole('navigation', { name: 'Panes' }).getByRole('button', { name: place }).click(),
    problems,
  };
}

/** Loads the sample: Ada and Ben in a new room with a few messages, and Cleo, who is not invited yet. */
export async function loadSample({ page, pane }: Playground, room = 'Launch day'): Promise<void> {
  await page.getByRole('button', { name: 'Load a sample' }).click();
  await pane('Ada').getByRole('heading', { name: room, exact: true }).waitFor();
  // Ada may join after Ben has accepted the invitation, so her pane does not always show that he accepted.
  await pane('Ada').getByRole('log', { name: 'Messages' }).getByText('until lift-off').waitFor({ state: 'attached' });
  // On a narrow screen Ben's pane is rendered but hidden.
  const ben = page.locator('[data-side=right]', { has: page.locator('h3', { hasText: new RegExp(`^${room}$`) }) });
  await ben.locator('.own', { hasText: 'until lift-off' }).waitFor({ state: 'attached' });
}

export async function openSample(url: string, options?: BrowserContextOptions): Promise<Playground> {
  const playground = await openPlayground(url, options);
  await loadSample(playground);
  return playground;
}

/** Creates a user with a token that the page at this link issues. */
export async function createPerson(link: string, wish: Parameters<typeof createUser>[0]): Promise<TestUser> {
  const person = createUser(wish);
  const { origin: Origin, hash } = new URL(link);
  const headers = { Origin, Authorization: `Bearer ${hash.replace('#key=', '')}` };
  const { body } = await rest(Origin).post('/playground/token', person.claims, headers);
  return { ...withClaims(person, {}), token: body.content.token as string };
}

/** Opens the room as one person, in a new window that knows the names of all. The console is closed. */
export function openRoomAs(
  link: string,
  name: string,
  people: Record<string, TestUser>,
  room: { id: number },
): Promise<Playground> {
  const stored = {
    people: Object.entries(people).map(([name, { user: id, level }], hue) => ({ id, name, level, hue })),
    organisations: [],
    seats: { left: { person: people[name]!.user, room: room.id }, right: {} },
    console: false,
  };
  const localStorage = Object.entries(stored).map(([key, value]) => ({
    name: `nano-messaging playground: ${key}`,
    value: JSON.stringify(value),
  }));
  return openPlayground(link, {
    storageState: { cookies: [], origins: [{ origin: new URL(link).origin, localStorage }] },
  });
}
