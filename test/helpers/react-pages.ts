import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type BuildOptions, build, type StdinOptions } from 'esbuild';
import type { Page } from 'playwright-core';
import { browserWindow } from './chromium.ts';
import { closeLater } from './cleanup.ts';
import type { Json } from './json.ts';
import { project } from './program.ts';

const alias = {
  'nano-messaging-client': join(project, 'src/client/client.ts'),
  'nano-messaging-client/inbox': join(project, 'src/client/inbox.ts'),
  'nano-messaging-client/react': join(project, 'src/client/react.ts'),
};

/** A version of React, and the names under which package.json has it. */
const versions = {
  18: { react: 'react-18', 'react-dom': 'react-dom-18' },
  19: {},
};
export type ReactVersion = keyof typeof versions;

/** The bundle in the mode of development, in which React warns. */
async function bundle(
  entry: string | StdinOptions,
  { version = 19, ...options }: BuildOptions & { version?: ReactVersion | undefined },
): Promise<string> {
  const { outputFiles } = await build({
    ...(typeof entry === 'string' ? { entryPoints: [join(project, 'test/fixtures/react', entry)] } : { stdin: entry }),
    ...{
      bundle: true,
      write: false,
      alias: { ...alias, ...versions[version] },
      jsx: 'automatic',
    },
    ...{ define: { 'process.env.NODE_ENV': '"development"' }, target: 'es2022', logLevel: 'error' },
    ...options,
  });
  return outputFiles![0]!.text;
}

/** The functions of test/fixtures/react/server.tsx. */
export async function loadServerFixture(
  version?: ReactVersion,
): Promise<{ render(config: object, token: () => string): string }> {
  const module = { exports: {} as Json };
  const code = await bundle('server.tsx', { platform: 'node', format: 'cjs', version });
  new Function('module', 'exports', 'require', code)(module, module.exports, createRequire(import.meta.url));
  return module.exports as { render(config: object, token: () => string): string };
}

/** By default, test/fixtures/react/page.tsx. */
export const bundleForReact = (entry: string | StdinOptions = 'page.tsx', version?: ReactVersion) =>
  bundle(entry, { format: 'iife', version });

/** Serves a page with this script, by default test/fixtures/react/page.tsx. */
export async function servePages(script?: string): Promise<{ url: string; setHtml(html: string): void }> {
  const code = script ?? (await bundleForReact());
  let html = '';
  const server = createServer(({ url }, response) => {
    const isScript = url === '/page.js';
    response.setHeader('Content-Type', isScript ? 'text/javascript' : 'text/html; charset=utf-8');
    response.end(
      isScript ? code : `<!doctype html><title>app</title><div id="root">${html}</div><script src="/page.js"></script>`,
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeLater(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return {
    url,
    setHtml(given) {
      html = given;
    },
  };
}

export interface ReactTab {
  tab: Page;
  /** Calls a function of the page. */
  call(name: string, ...args: unknown[]): Promise<unknown>;
  renders(): Promise<Record<string, number>>;
  /** How many WebSockets were opened, how many of them are open, and how many requests with this name were sent. */
  counts(): { connections: number; open: number };
  requests(name: string): number;
  /** Errors and warnings of the browser. */
  problems: string[];
}

export async function openReactPage(url: string): Promise<ReactTab> {
  const tab = await (await browserWindow()).newPage();
  tab.setDefaultTimeout(30_000);
  const problems: string[] = [];
  const frames: string[] = [];
  let [connections, open] = [0, 0];
  tab.on('pageerror', (error) => problems.push(error.message));
  tab.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) problems.push(message.text());
  });
  tab.on('websocket', (socket) => {
    connections++;
    open++;
    socket.on('framesent', ({ payload }) => frames.push(String(payload)));
    socket.on('close', () => open--);
  });
  await tab.goto(url);
  return {
    ...{ tab, problems },
    call: (name, ...args) =>
      tab.evaluate(
        ([name, ...args]) => (globalThis as Json).page[name as string](...args),
        [name, ...args],
      ) as Promise<unknown>,
    renders: () => tab.evaluate(() => (globalThis as Json).page.renders),
    counts: () => ({ connections, open }),
    requests: (name) => frames.filter((frame) => frame.includes(`["${name}"`)).length,
  };
}
