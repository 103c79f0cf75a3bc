import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { BrowserContext, CDPSession, Page } from 'playwright-core';
import type { Json } from './json.ts';
import { project } from './program.ts';
import { waitUntil } from './wait-until.ts';

/** The script of the page. `config` is in the fragment of its URL. */
const script = `
const { connect, inbox, offline } = nanoMessaging;
const { url, token, user, room: id } = JSON.parse(decodeURIComponent(location.hash.slice(1)));
const states = [];
const errors = [];
const chat = connect({
  url, user, token: () => window.token ?? token, storage: offline(), transports: ['websocket'],
  timeouts: { backoffMs: 40, maxBackoffMs: 200 },
});
chat.on('storage', (state) => states.push(state));
chat.on('error', ({ code }) => errors.push(code));
const room = chat.room(id);
room.on('change', () => {});
const rooms = inbox(chat);
rooms.on('change', () => {});
const view = () => ({
  client: chat.state,
  room: room.state,
  rev: room.rev,
  states,
  errors,
  messages: room.messages.map(({ seq, content, reactions }) => ({ seq, content, reactions })),
  outbox: room.outbox.map(({ content, state, saved, error }) => ({ content, state, saved, code: error?.code })),
  inbox: rooms.rooms.map(({ id, last_message }) => ({ id, last: last_message?.content })),
});
Object.assign(window, { chat, room, view });
`;

/** What the script of the page shows. */
export interface OfflineView {
  client: string;
  room: string;
  rev: number;
  states: string[];
  errors: string[];
  messages: Json[];
  outbox: Json[];
  inbox: Json[];
}

export interface PageConfig {
  url: string;
  token: string;
  user: string;
  room: number | string;
}

/** Serves a page with the client, from the sources. Returns its URL. */
export async function serveOfflinePages(onClose: (close: () => void) => void): Promise<string> {
  const { outputFiles } = await build({
    ...{ entryPoints: [join(project, 'src/client/browser.ts')], bundle: true, write: false },
    ...{ format: 'iife', globalName: 'nanoMessaging', target: 'es2022', logLevel: 'error' },
  });
  const code = outputFiles[0]!.text + script;
  const html = '<!doctype html><title>app</title><script src="/page.js"></script>';
  const server = createServer(({ url }, response) => {
    const isScript = url === '/page.js';
    response.setHeader('Content-Type', isScript ? 'text/javascript' : 'text/html; charset=utf-8');
    response.end(isScript ? code : url === '/empty' ? '<!doctype html>' : html);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onClose(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

/** A tab of a browser with a client that has a storage. */
export class OfflinePage {
  readonly page: Page;
  readonly session: CDPSession;
  readonly problems: string[] = [];
  readonly #url: string;

  private constructor(page: Page, session: CDPSession, url: string) {
    this.page = page;
    this.session = session;
    this.#url = url;
    page.on('pageerror', ({ message }) => this.problems.push(message));
  }

  /** `init` runs before the scripts of the page. */
  static async open(
    context: BrowserContext,
    pages: string,
    config: PageConfig,
    init?: () => void,
    argument?: unknown,
  ): Promise<OfflinePage> {
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    if (init) await page.addInitScript(init as never, argument);
    const url = `${pages}#${encodeURIComponent(JSON.stringify(config))}`;
    const opened = new OfflinePage(page, await context.newCDPSession(page), url);
    await page.goto(url);
    return opened;
  }

  view(): Promise<OfflineView> {
    return this.page.evaluate('view()');
  }

  async send(...contents: string[]): Promise<void> {
    for (const content of contents) await this.page.evaluate(`void room.send(${JSON.stringify(content)})`);
  }

  async until(what: string, isTrue: (view: OfflineView) => boolean): Promise<OfflineView> {
    let seen = await this.view();
    const look = async () => {
      seen = await this.view();
      return isTrue(seen);
    };
    await waitUntil(what, look, 15_000).catch(() => {
      throw new Error(`not ${what}: ${JSON.stringify(seen)}`);
    });
    return seen;
  }

  caughtUp(contents: readonly string[]): Promise<OfflineView> {
    return this.until(
      'up to date',
      ({ room, messages, outbox }) =>
        room === 'joined' &&
        outbox.length === 0 &&
        JSON.stringify(messages.map(({ content }) => content)) === JSON.stringify(contents),
    );
  }

  async reload(): Promise<void> {
    await this.page.reload();
  }

  /** Ends the renderer, as if it had run out of memory. */
  async crash(): Promise<void> {
    const crashed = this.page.waitForEvent('crash');
    // The renderer does not answer.
    void this.session.send('Page.crash').catch(() => {});
    await crashed;
    await this.page.close();
  }

  async freeze(isFrozen = true): Promise<void> {
    await this.session.send('Page.setWebLifecycleState', { state: isFrozen ? 'frozen' : 'active' });
  }

  get url(): string {
    return this.#url;
  }
}

/** Reads what is stored for the user, as another page of the origin. */
export async function readDatabase(context: BrowserContext, pages: string, user: string): Promise<Json[]> {
  const page = await context.newPage();
  try {
    await page.goto(`${pages}empty`);
    return await page.evaluate(
      `new Promise((resolve, reject) => {
        const request = indexedDB.open('nano-messaging:${user}');
        request.onerror = () => reject(request.error);
        request.onsuccess = () => {
          const database = request.result;
          if (!database.objectStoreNames.contains('records')) { database.close(); return resolve([]); }
          const all = database.transaction('records').objectStore('records').getAll();
          all.onsuccess = () => { database.close(); resolve(all.result); };
        };
      })`,
    );
  } finally {
    await page.close();
  }
}
