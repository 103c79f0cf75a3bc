import { existsSync } from 'node:fs';
import { type Browser, type BrowserContext, chromium as playwright } from 'playwright-core';
import { closeAfterRun, closeLater } from './cleanup.ts';
import { aptInstall } from './debian.ts';

const program = '/usr/bin/chromium';

/** Headless and without background requests: the browser connects only to the pages that a test opens. */
const args = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
];

let shared: Promise<Browser> | undefined;

/** Returns whether Chromium is installed, and tries to install it. The first call takes a while. */
export function hasChromium(): boolean {
  return existsSync(program) || (aptInstall('The tests open pages in Chromium', 'chromium') && existsSync(program));
}

/** Debian's Chromium, shared by all tests of a worker. Playwright ends it with the process at the latest. */
export function chromium(): Promise<Browser> {
  shared ??= start();
  return shared;
}

async function start(): Promise<Browser> {
  if (!hasChromium()) throw new Error(`The tests need ${program}, or to run as root on Debian to install it`);
  const browser = await playwright.launch({ executablePath: program, args });
  closeAfterRun(() => browser.close());
  return browser;
}

/** Opens a separate window without stored data from other tests. It is closed after the test. */
export async function browserWindow(options?: Parameters<Browser['newContext']>[0]): Promise<BrowserContext> {
  const context = await (await chromium()).newContext(options);
  closeLater(() => context.close());
  return context;
}
